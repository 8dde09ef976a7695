"""ROC and precision-recall curves of each class, one curve a backbone."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from unfreeze.figures.data import StudyData
from unfreeze.figures.formats import format_decimal, format_percent
from unfreeze.figures.lines import PRECISION_RECALL, ROC, Axes, Words, choose_classes, draw_threshold_curves
from unfreeze.figures.parts import Chart
from unfreeze.figures.registry import register_study_chart

# Points of a curve with two classes, and of each of many curves.
MOST_POINTS = 60
FEW_POINTS = 30


@register_study_chart("class_curves", "ROC and precision-recall curves by class", "curves")
def draw_class_curves(data: StudyData) -> list[Chart]:
    """Return both curves of the classes with the lowest recall, each class against all others."""
    return [
        chart
        for name in choose_classes(data.verdict.classes, _average_recalls(data))
        for chart in (*_draw_roc(data, name), *_draw_precision_recall(data, name))
    ]


def _draw_roc(data: StudyData, name: str) -> list[Chart]:
    aucs = [f"{backbone} {format_decimal(of.scores.auc)}" for backbone, of in data.backbones.items()]
    description = f"ROC curves of class {name}. AUC, mean over classes: {', '.join(aucs)}."
    curves = {backbone: of.roc for backbone, of in data.backbones.items()}
    return _draw(data, curves, name, ROC, Words(f"ROC: {name}", description, ["Dashed: chance."]))


def _draw_precision_recall(data: StudyData, name: str) -> list[Chart]:
    share = data.verdict.rows[0].classes[name].support / data.verdict.test_images
    description = f"Precision-recall curves of class {name}, which {format_percent(share)} of the test images have."
    words = Words(f"Precision-recall: {name}", description, [f"Dashed: chance, {format_percent(share)}."])
    axes = dataclasses.replace(PRECISION_RECALL, chance=(share, share))
    curves = {backbone: of.precision_recall for backbone, of in data.backbones.items()}
    return _draw(data, curves, name, axes, words)


def _draw(data: StudyData, curves: Mapping[str, pd.DataFrame], name: str, axes: Axes, words: Words) -> list[Chart]:
    of = {backbone: curve[curve["class"] == name] for backbone, curve in curves.items()}
    most = MOST_POINTS if len(data.verdict.classes) == 2 else FEW_POINTS
    return draw_threshold_curves(of, axes, "backbone", data.names, words, most_points=most)


def _average_recalls(data: StudyData) -> dict[str, float | None]:
    """Return each class's mean recall over backbones; None where no test image has the class."""
    recalls: dict[str, float | None] = {}
    for name in data.verdict.classes:
        values = [recall.value for row in data.verdict.rows if (recall := row.classes[name].recall) is not None]
        recalls[name] = float(np.mean(values)) if values else None
    return recalls
