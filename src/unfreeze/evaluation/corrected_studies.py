"""What corrections of labels changed: the study before them and the present one on the same test images."""

import numpy as np
import pandas as pd

from unfreeze.evaluation import pairs
from unfreeze.records.corrections import PREDICTED, Comparison, Effect, StoredStudy, StudyRecord

EARLIER, NOW = "earlier", "now"
IMAGE = ["path", "sha256"]


def find_earlier(stored: StoredStudy | None, now: StudyRecord) -> StudyRecord | None:
    """Return the latest known study of the same source whose corrections are a part of the present ones.

    A study that is run again with the same corrections is compared with the same study as before.

    Args:
        stored: What the last run left.
        now: The present study.

    Returns:
        None where no such study is known, and where there are no corrections.
    """
    known = [stored, stored.earlier] if stored else []
    for study in filter(None, known):
        is_of_same_source = (study.data, study.source) == (now.data, now.source)
        if is_of_same_source and set(study.corrections) < set(now.corrections):
            return study
    return None


def compare(earlier: StudyRecord, now: StudyRecord, *, seed: int) -> Comparison:
    """Compare the models of two studies on the images that are in both test folds, by the labels of now.

    Args:
        earlier: The study with fewer corrections.
        now: The present one.
        seed: Seed of the intervals' resamples.

    Returns:
        The effects on each backbone of both studies; none where no image is in both test folds.
    """
    table = earlier.table.merge(now.table, on=IMAGE, suffixes=(f" {EARLIER}", f" {NOW}"))
    both = [name for name in now.table.columns if name.startswith(PREDICTED) and name in earlier.table.columns]
    effects = [_compare_backbone(table, name, seed) for name in both] if len(table) else []
    p_values = pairs.adjust_p_values(np.array([effect.p_value for effect in effects]))
    return Comparison(
        earlier_corrections=len(earlier.corrections),
        same_settings=earlier.settings == now.settings,
        images=len(table),
        relabelled=int((table[f"label {EARLIER}"] != table[f"label {NOW}"]).sum()),
        effects=tuple(
            effect.model_copy(update={"p_value": float(p_value)})
            for effect, p_value in zip(effects, p_values, strict=True)
        ),
    )


def _compare_backbone(table: pd.DataFrame, name: str, seed: int) -> Effect:
    """Return the effect on one backbone, with the p-value of its single test."""
    columns = [f"label {NOW}", f"{name} {NOW}", f"{name} {EARLIER}"]
    classes = pd.Index(sorted(set(table[columns].to_numpy().ravel())))
    labels, now, earlier = (classes.get_indexer(pd.Index(table[column])) for column in columns)
    (pair,) = pairs.compare_pairs(labels, {NOW: now, EARLIER: earlier}, seed=seed)
    return Effect(
        backbone=name.removeprefix(PREDICTED),
        earlier_by_old_labels=float((table[f"label {EARLIER}"] == table[f"{name} {EARLIER}"]).mean()),
        earlier=float((earlier == labels).mean()),
        now=float((now == labels).mean()),
        difference=pair.difference,
        p_value=pair.p_value,
    )
