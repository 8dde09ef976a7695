"""Curves of all backbones together: training, ROC, precision and recall."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from unfreeze.evaluation import curves
from unfreeze.records.verdict import Verdict
from unfreeze.report import encodings, vega
from unfreeze.report.formats import count, decimal, percent
from unfreeze.report.parts import Chart, Table
from unfreeze.report.study import Study

MOST_EPOCHS = 100
MOST_POINTS = 60
# Of each curve where there is a chart for every class.
FEW_POINTS = 30
# Points with shapes on a curve; the line goes through all.
MARKS = 8
# The curves of more classes are no longer read.
MOST_CLASSES = 12
# Where tables read the curves off.
PLACES = np.array([0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1])


def training(study: Study, metric: str) -> Chart:
    """Return the curves of a metric over the epochs of all backbones.

    Args:
        study: With histories.
        metric: accuracy or loss.
    """
    write = percent if metric == "accuracy" else decimal
    frame = _epochs(study.histories, metric)
    names = encodings.order(study.verdict)
    last = [
        f"{name} {write(_number(history[f'val_{metric}'].iloc[-1]))}" for name, history in study.histories.items()
    ]
    wide = frame.pivot(index="epoch", columns=["backbone", "fold"], values="value")
    rows = [
        [count(epoch), *(write(_number(value)) for value in values)]
        for epoch, values in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return Chart(
        f"Training: {metric}",
        f"Validation and training {metric} by epoch; at the last epoch on validation: {', '.join(last)}.",
        _training_spec(frame, _starts_of_tuning(study.histories), metric, names),
        Table(f"{metric.capitalize()} by epoch", ["epoch", *map(", ".join, wide.columns)], rows),
        ["Solid: validation, dashed: training. Dotted: where the head phase ends and fine-tuning begins."],
    )


def classes_shown(verdict: Verdict) -> list[str]:
    """Return the classes whose curves are shown: of two the second, of many those with the lowest mean recall."""
    classes = list(verdict.classes)
    if len(classes) == 2:
        return classes[1:]

    def recall(name: str) -> float:
        recalls = [row.classes[name].recall for row in verdict.rows]
        return float(np.mean([recall.value for recall in recalls if recall is not None] or [np.inf]))

    return sorted(classes, key=recall)[:MOST_CLASSES]


def roc(study: Study, name: str) -> Chart | None:
    """Return the ROC curves of all backbones for a class; None where there are none."""
    aucs = [
        f"{row.backbone} {decimal(auc.value if (auc := row.scores.get('auc')) else None)}"
        for row in study.verdict.rows
    ]
    axes = _Axes("fpr", "tpr", "false positive rate", "true positive rate", chance=(0, 1))
    told = f"ROC curves of class {name}. AUC over all classes: {', '.join(aucs)}."
    return _curves(study, study.roc, name, axes, ("ROC", told, "Dashed: chance."))


def precision_recall(study: Study, name: str) -> Chart | None:
    """Return the precision-recall curves of all backbones for a class; None where there are none."""
    share = study.verdict.rows[0].classes[name].support / study.verdict.test_images
    axes = _Axes("recall", "precision", "recall", "precision", chance=(share, share))
    told = f"Precision-recall curves of class {name}, which {percent(share)} of the test images have."
    return _curves(
        study, study.precision_recall, name, axes, ("Precision", told, f"Dashed: chance, {percent(share)}.")
    )


@dataclass(frozen=True)
class _Axes:
    """Columns and titles of a curve's axes, and the heights of the line of chance at both ends."""

    x: str
    y: str
    x_title: str
    y_title: str
    chance: tuple[float, float]


def _epochs(histories: Mapping[str, pd.DataFrame], metric: str) -> pd.DataFrame:
    """Return one row a backbone, epoch and fold: its value, and whether a shape stands there."""
    parts = []
    for name, history in histories.items():
        shown = history.iloc[_even(len(history), MOST_EPOCHS)]
        marked = np.isin(np.arange(len(shown)), _even(len(shown), MARKS))
        for fold, column, is_marked in (("validation", f"val_{metric}", marked), ("training", metric, False)):
            columns = {"epoch": shown["step"], "value": shown[column]}
            parts.append(pd.DataFrame(columns).assign(backbone=name, fold=fold, marked=is_marked))
    return pd.concat(parts, ignore_index=True)


def _starts_of_tuning(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return where the head phase ends, of the backbones that have one."""
    tuned = {name: history.loc[history["phase"] != "head", "step"] for name, history in histories.items()}
    rows = [
        {"backbone": name, "epoch": steps.min() - 0.5}
        for name, steps in tuned.items()
        if 0 < len(steps) < len(histories[name])
    ]
    return pd.DataFrame(rows, columns=["backbone", "epoch"])


def _training_spec(frame: pd.DataFrame, starts: pd.DataFrame, metric: str, names: list[str]) -> dict[str, Any]:
    looks = encodings.of_names("backbone", names, "backbone")
    axis = alt.Axis(format=encodings.PERCENT) if metric == "accuracy" else alt.Axis()
    position = {
        "x": alt.X("epoch:Q", title="epoch, on from head to fine-tuning", axis=alt.Axis(tickMinStep=1)),
        "y": alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False), axis=axis),
    }
    dashes = alt.StrokeDash(
        "fold:N",
        scale=alt.Scale(domain=["validation", "training"], range=[[1, 0], [4, 3]]),
        legend=None,
    )
    written = alt.Tooltip("value:Q", format=".3f")
    lines = alt.Chart(vega.data(frame.drop(columns="marked")))
    shapes = alt.Chart(vega.data(frame[frame["marked"]].drop(columns="marked")))
    ends = alt.Chart(vega.data(starts))
    return vega.specification(
        lines.mark_line(strokeWidth=1.75).encode(**position, color=looks["color"], strokeDash=dashes),
        shapes.mark_point(filled=True, size=55, opacity=1).encode(
            **position, **looks, tooltip=["backbone:N", "epoch:Q", written]
        ),
        ends.mark_rule(strokeDash=[1, 3], strokeWidth=1.5).encode(x="epoch:Q", color=looks["color"]),
        height=300,
    )


def _curves(
    study: Study, of: Mapping[str, pd.DataFrame], name: str, axes: _Axes, words: tuple[str, str, str]
) -> Chart | None:
    """Return the curves of a class.

    Args:
        study: Whose backbones are shown.
        of: Curves by backbone.
        name: The class.
        axes: What the curves are drawn along.
        words: Title, what the chart shows in a sentence, and a note.
    """
    whole = {backbone: curve[curve["class"] == name] for backbone, curve in of.items()}
    whole = {backbone: curve for backbone, curve in whole.items() if len(curve)}
    if not whole:
        return None
    most = MOST_POINTS if len(study.verdict.classes) == 2 else FEW_POINTS
    parts = {backbone: curves.thinned(curve, axes.x, axes.y, most) for backbone, curve in whole.items()}
    read = [curves.read_off(curve, axes.x, axes.y, PLACES) for curve in whole.values()]
    rows = [
        [percent(place), *map(percent, heights)]
        for place, heights in zip(PLACES, np.transpose(read).tolist(), strict=True)
    ]
    title, told, note = words
    return Chart(
        f"{title}: {name}",
        told,
        _curves_spec(parts, axes, encodings.order(study.verdict)),
        Table(f"{axes.y_title.capitalize()} by {axes.x_title}, class {name}", [axes.x_title, *whole], rows),
        [note],
    )


def _curves_spec(parts: Mapping[str, pd.DataFrame], axes: _Axes, names: list[str]) -> dict[str, Any]:
    columns = ["backbone", axes.x, axes.y]
    points = pd.concat([part.assign(backbone=backbone) for backbone, part in parts.items()])[columns]
    marked = pd.concat([part.iloc[_even(len(part), MARKS)].assign(backbone=name) for name, part in parts.items()])
    looks = encodings.of_names("backbone", names, "backbone")
    position = {
        "x": encodings.share(axes.x, axes.x_title, whole=True, axis=alt.X),
        "y": encodings.share(axes.y, axes.y_title, whole=True),
    }
    chance = alt.Chart(vega.data(pd.DataFrame({"x": [0, 1], "y": axes.chance})))
    lines = alt.Chart(vega.data(points.assign(order=range(len(points)))))
    return vega.specification(
        chance.mark_line(style="guide").encode(x="x:Q", y="y:Q"),
        lines.mark_line(strokeWidth=1.75).encode(**position, color=looks["color"], order="order:Q"),
        alt.Chart(vega.data(marked[columns])).mark_point(filled=True, size=45, opacity=1).encode(**position, **looks),
        height=300,
    )


def _even(length: int, most: int) -> np.ndarray:
    """Return at most so many places of a sequence, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
