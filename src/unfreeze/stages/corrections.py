"""Say what corrections of labels changed: how many there are, and how the models compare with those before them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.checks import corrections
from unfreeze.evaluation import corrected_studies
from unfreeze.paths import Paths
from unfreeze.records.corrections import PREDICTED, Corrections, StoredStudy, StudyRecord
from unfreeze.records.predictions import Predictions
from unfreeze.runtime.console import log
from unfreeze.settings.stage_settings import declare_param


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml, besides the sections that it digests."""

    seed: int
    data_name: str = declare_param("data.name")
    backbones: tuple[str, ...] = declare_param("study.backbones")


# Sections of params.yaml that decide about a model.
DECIDING = (
    "seed", "pixels", "preprocess", "split", "weights", "augment", "extract", "unfreeze", "head", "train", "search",
)  # fmt: skip


def digest_settings(values: dict[str, Any], code: str) -> str:
    """Return a digest of the settings that decide about the models, and of the code that trains them.

    Args:
        values: The content of params.yaml.
        code: Digest of that code.
    """
    return files.digest([code, {name: values[name] for name in DECIDING}])


def record_study(settings: Settings, rows: pd.DataFrame, paths: Paths) -> StudyRecord:
    """Return what a later study compares itself with.

    Args:
        settings: The stage's.
        rows: The manifest.
        paths: Where the predictions are.
    """
    values = files.read_yaml(paths.params)
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
        data=settings.data_name,
        # The source may be a path of this machine.
        source=files.digest(values["data"]["source"]),
        settings=digest_settings(values, files.read_text(paths.code / "finetune.txt")),
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
    log.info("corrections: %d relabelled, %d excluded, %d kept", counts.relabelled, counts.excluded, counts.kept)
