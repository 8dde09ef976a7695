"""This pipeline's side: a clone of its own, the case's settings, `dvc repro` up to the test accuracy."""

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.utils.hydra import compose_and_dump

from benchmarks import measure
from benchmarks.inputs import ROOT, Case, weights_setting
from unfreeze import files, git
from unfreeze.dvc_repo import load_resolvers
from unfreeze.paths import Paths
from unfreeze.planning import best, measurements
from unfreeze.settings.params import load

# The guide's own settings, as far as the two can be alike.
EPOCHS = 5
SIZE = 160
SETTINGS = (
    "search.enabled.default=false",
    f"train.head.default.epochs={EPOCHS}",
    "train.head.default.learning_rate=1e-3",
    "train.head.default.patience=null",
    f"train.finetune.default.epochs={EPOCHS}",
    "train.finetune.default.learning_rate=1e-5",
    "train.finetune.default.schedule=constant",
    "train.finetune.default.patience=null",
    "train.class_weights=none",
)
# What a clone has from the checkout as it stands, not from its last commit.
TAKEN = ("conf", "src", "dvc.yaml")
STARTED = re.compile(r"Running stage '([a-z]+)")
# Of the last epoch: their number, and the seconds of all.
TRAINED = re.compile(r"fine-tuning: (\d+) of \1, (\d+) s gone")


@dataclass(frozen=True)
class Outcome:
    """What a run took and gave.

    Args:
        run: What it took.
        stages: Seconds by stage, DVC's own work after it included.
        parts: Seconds of each stage's process before its own work began (`start`) and in it (`work`), and processor
            time of it and of all that it started (`processor`).
        epoch_seconds: One epoch of fine-tuning, with its validation.
        accuracy: On the test fold.
        test_images: Number of images in the test fold.
    """

    run: measure.Run
    stages: dict[str, float]
    parts: dict[str, dict[str, float]]
    epoch_seconds: float
    accuracy: float
    test_images: int


def clone(folder: Path, settings: list[str]) -> Paths:
    """Make a new clone of this project with settings of its own.

    No earlier one is removed: where a disk discards what is deleted, what is measured next would wait for it.

    Args:
        folder: Where; something is added to its name.
        settings: As `-S` takes them.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    # As a user's clone has none of it, neither has this one: nothing may be skipped.
    for name in ("dvc.lock", "metrics", "reports"):
        files.remove(folder / name)
    # What is not committed yet is measured too.
    for name in TAKEN:
        files.remove(folder / name)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    compose(Paths(folder), settings)
    return Paths(folder)


def name_commit() -> str:
    """Return what is measured: the commit, `-dirty` where that which a clone takes from here differs from it."""
    return git.require_commit(ROOT)[:7] + ("-dirty" if git.list_changed(ROOT, *TAKEN) else "")


def compose(paths: Paths, settings: list[str]) -> None:
    """Write a clone's parameters."""
    load_resolvers(paths.conf)
    compose_and_dump(str(paths.params), str(paths.conf), None, "config", "", settings)


def settings_of(case: Case, images: Path | None) -> list[str]:
    """Return the settings that choose a case's backbone and weights, and images.

    Args:
        case: The backbone.
        images: Folder with one folder a class; None for the default study's images.
    """
    return [
        *(["data=folder", f"data.source={images}"] if images else []),
        *weights_settings(case),
        f"study.backbones=[{case.name}]",
        f"preprocess.image_size={SIZE}",
        f"unfreeze.point.default={case.point}",
        f"extract.precision={case.precision}",
        f"train.precision={case.precision}",
    ]


def preset_settings(given: Path) -> list[str]:
    """Return the settings of `study=best`, with the weights that are at hand: it chooses among what can be had.

    Args:
        given: Holds `weights/BACKBONE_no_top.weights.h5` where weights are at hand; others are downloaded.
    """
    at_hand = {name: given / f"weights/{name}_no_top.weights.h5" for name in best.BACKBONES}
    cases = [Case(name, "", "auto", file, "float32", 0) for name, file in at_hand.items() if file.exists()]
    return ["study=best", *(setting for case in cases for setting in weights_settings(case))]


def weights_settings(case: Case) -> list[str]:
    """Return the settings that choose a case's weights."""
    # A mapping that is there would be merged with the new one.
    known = case.name in load(ROOT / "params.yaml").weights.root
    return [*([f"~weights.{case.name}"] if known else []), f"+weights.{case.name}={weights_setting(case)}"]


def run(paths: Paths, case: Case) -> Outcome:
    """Run a clone's stages up to the test accuracy, with every process start counted."""
    taken = measure.run(["dvc", "repro", f"evaluate@{case.name}"], folder=paths.root)
    ends = [found for _, line in taken.lines if (found := TRAINED.search(line))]
    scores = files.read_json(paths.evaluation(case.name))
    return Outcome(
        run=taken,
        stages=stage_seconds(taken),
        parts={
            found.stage: {
                "start": found.start_seconds,
                "work": found.seconds - found.start_seconds,
                "processor": found.processor_seconds,
            }
            for found in measurements.read(paths.measurements)
        },
        epoch_seconds=int(ends[-1][2]) / int(ends[-1][1]),
        accuracy=scores["accuracy"],
        test_images=scores["images"],
    )


def measure_limits(paths: Paths, case: Case) -> dict[str, Any]:
    """Return what the machine can do with a case's backbone, measured in a clone that has run.

    Args:
        paths: The clone.
        case: The case.
    """
    command = [sys.executable, "-m", "benchmarks.limits", str(paths.root), case.name, case.point, case.precision]
    return measure.read_result(measure.run(command, folder=ROOT))


def stage_seconds(taken: measure.Run) -> dict[str, float]:
    """Return what each stage of a `dvc repro` took, DVC's own work after it included."""
    starts = [(second, found[1]) for second, line in taken.lines if (found := STARTED.search(line))]
    ends = [second for second, _ in starts[1:]] + [taken.seconds]
    return {name: end - start for (start, name), end in zip(starts, ends, strict=True)}
