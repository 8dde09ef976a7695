"""Charts of lines: training curves by epoch, and curves over thresholds such as ROC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from unfreeze.evaluation import curves
from unfreeze.figures import encodings, vega
from unfreeze.figures.formats import format_count, format_decimal, format_percent
from unfreeze.figures.parts import Chart, Table

MOST_EPOCHS = 100
# Points with shapes on a line; the line goes through all.
MARKS = 8
# The lines of more classes can no longer be told apart.
MOST_CLASSES = 12
# Where tables read curves off.
PLACES = np.array([0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1])


@dataclass(frozen=True)
class Axes:
    """The axes of a curve over thresholds.

    Args:
        x: Column of shares along x.
        y: Column of shares along y.
        x_title: Title of the axis.
        y_title: The same.
        chance: Heights of the chance line at both ends; None for no line.
    """

    x: str
    y: str
    x_title: str
    y_title: str
    chance: tuple[float, float] | None


ROC = Axes("fpr", "tpr", "false positive rate", "true positive rate", chance=(0, 1))
PRECISION_RECALL = Axes("recall", "precision", "recall", "precision", chance=None)


@dataclass(frozen=True)
class Words:
    """Texts of a chart: its title, a description that ends with a full stop, and notes on how to read it."""

    title: str
    description: str
    notes: Sequence[str] = ()


def choose_classes(classes: Sequence[str], recalls: Mapping[str, float | None]) -> list[str]:
    """Return the classes whose curves are shown: of two the second, of many those with the lowest recall.

    Args:
        classes: All class names.
        recalls: Recall by class, 0 to 1; None for a class without test images, which comes last.
    """
    if len(classes) == 2:
        return list(classes[1:])
    return sorted(classes, key=lambda name: _put_missing_last(recalls.get(name)))[:MOST_CLASSES]


def draw_training(histories: Mapping[str, pd.DataFrame], metric: str, names: Sequence[str]) -> Chart:
    """Return the curves of a metric over the epochs of both phases.

    Args:
        histories: One row an epoch by backbone: step, phase, and `metric` and `val_<metric>`.
        metric: accuracy or loss.
        names: All backbones, in the order of colours.
    """
    write = format_percent if metric == "accuracy" else format_decimal
    frame = _list_epochs(histories, metric)
    last = [
        f"{name} {write(_to_number(history[f'val_{metric}'].iloc[-1]))}"
        for name, history in histories.items()
        if len(history)
    ]
    wide = frame.pivot(index="epoch", columns=["backbone", "fold"], values="value")
    rows = [
        [format_count(epoch), *(write(_to_number(value)) for value in values)]
        for epoch, values in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return Chart(
        f"Training: {metric}",
        f"Validation and training {metric} by epoch; validation at the last epoch: {', '.join(last)}.",
        _build_training_spec(frame, _list_phase_ends(histories), metric, names),
        Table(f"{metric.capitalize()} by epoch", ["epoch", *map(", ".join, wide.columns)], rows),
        ["Solid: validation, dashed: training. Dotted: end of the head phase, start of fine-tuning."],
    )


def draw_threshold_curves(
    of: Mapping[str, pd.DataFrame], axes: Axes, series: str, names: Sequence[str], words: Words, *, most_points: int
) -> list[Chart]:
    """Return one chart with a curve for each series; nothing where there is no curve.

    Args:
        of: Points of each curve by series, with the columns that `axes` names.
        axes: The columns and their titles.
        series: What a curve stands for: backbone or class.
        names: All series, in the order of colours.
        words: Texts of the chart.
        most_points: Most points drawn of a curve.
    """
    whole = {name: curve for name, curve in of.items() if len(curve)}
    if not whole:
        return []
    thin = {name: curves.thin(curve, axes.x, axes.y, most_points) for name, curve in whole.items()}
    heights = [curves.read_off(curve, axes.x, axes.y, PLACES) for curve in whole.values()]
    rows = [
        [format_percent(place), *map(format_percent, values)]
        for place, values in zip(PLACES, np.transpose(heights).tolist(), strict=True)
    ]
    table = Table(f"{words.title}: {axes.y_title} by {axes.x_title}", [axes.x_title, *whole], rows)
    return [Chart(words.title, words.description, _build_curves_spec(thin, axes, series, names), table, words.notes)]


def _list_epochs(histories: Mapping[str, pd.DataFrame], metric: str) -> pd.DataFrame:
    """Return one row for each backbone, epoch and fold: its value, and whether a shape marks it."""
    parts = []
    for name, history in histories.items():
        shown = history.iloc[encodings.spread_evenly(len(history), MOST_EPOCHS)]
        marked = np.isin(np.arange(len(shown)), encodings.spread_evenly(len(shown), MARKS))
        for fold, column, is_marked in (("validation", f"val_{metric}", marked), ("training", metric, False)):
            columns = {"epoch": shown["step"], "value": shown[column]}
            parts.append(pd.DataFrame(columns).assign(backbone=name, fold=fold, marked=is_marked))
    return pd.concat(parts, ignore_index=True)


def _list_phase_ends(histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return where the head phase ends, of the backbones that have both phases."""
    tuned = {name: history.loc[history["phase"] != "head", "step"] for name, history in histories.items()}
    rows = [
        {"backbone": name, "epoch": steps.min() - 0.5}
        for name, steps in tuned.items()
        if 0 < len(steps) < len(histories[name])
    ]
    return pd.DataFrame(rows, columns=["backbone", "epoch"])


def _build_training_spec(
    frame: pd.DataFrame, phase_ends: pd.DataFrame, metric: str, names: Sequence[str]
) -> dict[str, Any]:
    marks = encodings.encode_names("backbone", names, "backbone" if len(names) > 1 else None)
    axis = alt.Axis(format=encodings.PERCENT) if metric == "accuracy" else alt.Axis()
    position = {
        "x": alt.X("epoch:Q", title="epoch, counted through both phases", axis=alt.Axis(tickMinStep=1)),
        "y": alt.Y("value:Q", title=metric, scale=alt.Scale(zero=False), axis=axis),
    }
    scale = alt.Scale(domain=["validation", "training"], range=[[1, 0], [4, 3]])
    dashes = alt.StrokeDash("fold:N", scale=scale, legend=None)
    tooltip = ["backbone:N", "epoch:Q", alt.Tooltip("value:Q", format=".3f")]
    lines = alt.Chart(vega.make_data(frame.drop(columns="marked")))
    shapes = alt.Chart(vega.make_data(frame[frame["marked"]].drop(columns="marked")))
    layers = [
        lines.mark_line(strokeWidth=1.75).encode(**position, color=marks["color"], strokeDash=dashes),
        shapes.mark_point(filled=True, size=55, opacity=1).encode(**position, **marks, tooltip=tooltip),
    ]
    # Vega warns of a layer without data.
    if len(phase_ends):
        ends = alt.Chart(vega.make_data(phase_ends)).encode(x="epoch:Q", color=marks["color"])
        layers.append(ends.mark_rule(strokeDash=[1, 3], strokeWidth=1.5))
    return vega.build_spec(*layers, height=300)


def _build_curves_spec(
    of: Mapping[str, pd.DataFrame], axes: Axes, series: str, names: Sequence[str]
) -> dict[str, Any]:
    columns = [series, axes.x, axes.y]
    points = pd.concat([curve.assign(**{series: name}) for name, curve in of.items()])[columns]
    marked = pd.concat(
        [
            curve.iloc[encodings.spread_evenly(len(curve), MARKS)].assign(**{series: name})
            for name, curve in of.items()
        ]
    )
    marks = encodings.encode_names(series, names, series)
    position = {
        "x": encodings.encode_share(axes.x, axes.x_title, whole=True, axis=alt.X),
        "y": encodings.encode_share(axes.y, axes.y_title, whole=True),
    }
    lines = alt.Chart(vega.make_data(points.assign(order=range(len(points)))))
    shapes = alt.Chart(vega.make_data(marked[columns]))
    layers = [
        lines.mark_line(strokeWidth=1.75).encode(**position, color=marks["color"], order="order:Q"),
        shapes.mark_point(filled=True, size=45, opacity=1).encode(**position, **marks),
    ]
    if axes.chance is not None:
        chance = alt.Chart(vega.make_data(pd.DataFrame({"x": [0, 1], "y": axes.chance})))
        layers.insert(0, chance.mark_line(style="guide").encode(x="x:Q", y="y:Q"))
    return vega.build_spec(*layers, height=300)


def _put_missing_last(value: float | None) -> float:
    return float("inf") if value is None else value


def _to_number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
