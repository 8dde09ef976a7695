"""Say what corrections of labels changed: how many there are, and how the models compare with those before them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.checks import corrections
from unfreeze.evaluation import corrected_studies
from unfreeze.paths import Paths
from unfreeze.records.corrections import PREDICTED, Corrections, StoredStudy, StudyRecord, describe_counts
from unfreeze.records.predictions import Predictions
from unfreeze.runtime.console import log
from unfreeze.settings.base import ByBackbone, PixelScaling
from unfreeze.settings.images import Augment, Preprocess, Split
from unfreeze.settings.sources import DataSource, WeightsSource
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.training import Extract, Head, Search, Train, Unfreeze


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml: besides the backbones all that decides about a model, to compare it."""

    seed: int
    pixels: PixelScaling
    data: DataSource
    preprocess: Preprocess
    split: Split
    weights: ByBackbone[WeightsSource]
    augment: Augment
    extract: Extract
    unfreeze: Unfreeze
    head: Head
    train: Train
    search: Search
    backbones: tuple[str, ...] = declare_param("study.backbones")

    def digest(self, code: str) -> str:
        """Return a digest of the settings that decide about a model, and of the code that trains it.

        Args:
            code: Digest of that code.
        """
        deciding: dict[str, Any] = {
            name: getattr(self, name).model_dump(mode="json")
            for name in (
                "preprocess", "split", "weights", "augment", "extract", "unfreeze", "head", "train", "search",
            )
        }  # fmt: skip
        return files.digest([self.seed, self.pixels, deciding, code])


def record_study(settings: Settings, rows: pd.DataFrame, paths: Paths) -> StudyRecord:
    """Return what a later study compares itself with.

    Args:
        settings: The stage's.
        rows: The manifest.
        paths: Where the predictions are.
    """
    said = {name: Predictions.read(paths.predictions(name)).table for name in settings.backbones}
    first = said[settings.backbones[0]]
    digests = rows.set_index("path")["sha256"]
    table = pd.DataFrame({"path": first["id"], "sha256": first["id"].map(digests), "label": first["label"]})
    predicted = {
        PREDICTED + name: of.set_index("id")["predicted"].loc[first["id"]].array for name, of in said.items()
    }
    excluded = rows.loc[rows["verdict"] == corrections.EXCLUDED, "sha256"]
    changed = rows[rows[corrections.GIVEN] != ""] if corrections.GIVEN in rows else rows.iloc[:0]
    return StudyRecord.of(
        table.assign(**predicted),
        data=settings.data.name,
        # The source may be a path of this machine.
        source=files.digest(settings.data.source),
        settings=settings.digest(files.read_text(paths.code / "finetune.txt")),
        corrections={*excluded, *(changed["sha256"] + " " + changed["label"])},
    )


def run(settings: Settings, paths: Paths) -> None:
    """Write metrics/corrections.json, and metrics/study_record.json for the next study."""
    rows = pd.read_parquet(paths.manifest)
    counts = corrections.count(rows, corrections.read(paths.corrections))
    now = record_study(settings, rows, paths)
    stored = StoredStudy.read(paths.study_record) if paths.study_record.exists() else None
    earlier = corrected_studies.find_earlier(stored, now)
    compared = corrected_studies.compare(earlier, now, seed=settings.seed) if earlier else None
    Corrections(counts=counts, comparison=compared).write(paths.correction_effects)
    # Last: a run that ends before has the same study to compare with again.
    StoredStudy(**dict(now), earlier=earlier).write(paths.study_record)
    log.info("%s", describe_counts(counts))
