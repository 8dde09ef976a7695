"""This pipeline's side: the split that all share, and runs with the correctness of each test image."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks import measure, pipeline
from benchmarks.inputs import Case
from unfreeze import files
from unfreeze.checks import manifest
from unfreeze.paths import Paths
from unfreeze.records.predictions import Predictions


@dataclass(frozen=True)
class Split:
    """The images of all sides.

    Args:
        path: CSV of path, label and fold.
        table: Its rows.
    """

    path: Path
    table: pd.DataFrame

    @property
    def test(self) -> list[str]:
        """The paths of the test images, sorted."""
        return sorted(self.table.loc[self.table["fold"] == "test", "path"])

    @property
    def labels(self) -> list[int]:
        """The class numbers of the test images, in the order of `test`."""
        of_path = self.table.set_index("path")["label"]
        classes = sorted(of_path.unique())
        return [classes.index(of_path[path]) for path in self.test]

    def sort_correct(self, correct: Mapping[str, bool]) -> list[bool]:
        """Return whether each test image is right, in the order of `test`; other images are an error."""
        if sorted(correct) != self.test:
            raise RuntimeError(f"{len(correct)} test images were classified, not the {len(self.test)} of the split")
        return [correct[path] for path in self.test]


def split(case: Case, images: Path, scratch: Path) -> Split:
    """Split the images as a run of this pipeline does, near copies kept together.

    Args:
        case: Any; its settings are those of the runs.
        images: Folder with one folder a class.
        scratch: Where a clone is made.
    """
    paths = pipeline.clone(scratch / "split", [*pipeline.SETTINGS, *pipeline.settings_of(case, images)])
    measure.run(["dvc", "repro", "split"], folder=paths.root)
    return write_split(paths, scratch / "split.csv")


def write_split(paths: Paths, target: Path) -> Split:
    """Write the folds of a clone that has run as peers read them.

    Args:
        paths: The clone.
        target: The CSV.
    """
    rows = manifest.select_usable(pd.read_parquet(paths.manifest))[["path", "label"]]
    table = rows.merge(files.read_csv(paths.split), left_on="path", right_on="id")[["path", "label", "fold"]]
    files.write_csv(target, table)
    return Split(target, table)


def run(case: Case, images: Path, scratch: Path, epochs: int) -> tuple[pipeline.Outcome, dict[str, bool]]:
    """Run the pipeline once, in a new clone.

    Args:
        case: The variant.
        images: Folder with one folder a class.
        scratch: Where the clone is made.
        epochs: Epochs of the head, and of fine-tuning.

    Returns:
        What it took and gave, and whether each test image is right, by its path.
    """
    paths = pipeline.clone(scratch / case.name, list_settings(case, images, epochs))
    outcome = pipeline.run(paths, case)
    return outcome, read_correct(paths, case)


def list_settings(case: Case, images: Path, epochs: int) -> list[str]:
    """Return the settings of a run, as `-S` takes them."""
    numbers = [f"train.{phase}.default.epochs={epochs}" for phase in ("head", "finetune")]
    others = [setting for setting in pipeline.SETTINGS if ".epochs=" not in setting]
    return [*others, *numbers, *pipeline.settings_of(case, images)]


def read_correct(paths: Paths, case: Case) -> dict[str, bool]:
    """Return whether a finished run has each test image right, by its path."""
    table = Predictions.read(paths.predictions(case.name)).table
    return dict(zip(table["id"], table["correct"].tolist(), strict=True))
