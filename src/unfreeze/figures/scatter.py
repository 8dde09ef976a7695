"""Scatter charts of accuracy by cost, with the names of backbones next to their points."""

from collections.abc import Callable, Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from unfreeze.figures import encodings, label_placement, vega
from unfreeze.figures.data import CostData
from unfreeze.figures.formats import Number, format_percent
from unfreeze.figures.parts import Chart, Table

# Height of the plot, and its width on a narrow page, pixels.
HEIGHT = 260
WIDTH = 270
# Costs this many times apart are drawn on a logarithmic axis.
FAR = 10


def draw_scatter(
    data: CostData, costs: Mapping[str, float | None], name: str, unit: str, write: Callable[[Number], str]
) -> list[Chart]:
    """Return accuracy by a cost; nothing where no cost is known.

    Args:
        data: The study.
        costs: The cost by backbone.
        name: What the cost is.
        unit: Its unit.
        write: How a cost is written.
    """
    accuracies = {row.backbone: row.accuracy.value for row in data.study.verdict.rows}
    frame = pd.DataFrame(
        [
            {"backbone": backbone, "cost": costs[backbone], "accuracy": accuracy}
            for backbone, accuracy in accuracies.items()
            if costs.get(backbone)
        ]
    )
    if frame.empty:
        return []
    rows = [
        [row["backbone"], format_percent(row["accuracy"]), write(row["cost"])] for row in frame.to_dict("records")
    ]
    title = f"Accuracy and {name}"
    values = "; ".join(f"{backbone} {accuracy} at {cost}" for backbone, accuracy, cost in rows)
    return [
        Chart(
            title,
            f"{title}, {unit}: {values}.",
            _build_spec(frame, unit, data.study.names),
            Table(title, ["backbone", "accuracy", f"{name}, {unit}"], rows),
        )
    ]


def _build_spec(frame: pd.DataFrame, title: str, names: list[str]) -> dict[str, Any]:
    """Return points with their names next to them.

    Args:
        frame: Columns backbone, cost and accuracy.
        title: Title of the axis of costs.
        names: All backbones, in the order of colours.
    """
    far = frame["cost"].max() > FAR * frame["cost"].min()
    scale = alt.Scale(type="log", nice=False, padding=24) if far else alt.Scale(zero=False, padding=24)
    accuracy = alt.Scale(zero=False, padding=16)
    # Prefixes such as M for large numbers; below 1 they would be those of a thousandth.
    number_format = ".3~s" if frame["cost"].min() >= 1 else ".3~r"
    position: dict[str, Any] = {
        "x": alt.X(
            "cost:Q", title=title, scale=scale, axis=alt.Axis(format=number_format, tickCount=5, grid=not far)
        ),
        "y": alt.Y("accuracy:Q", title="accuracy", scale=accuracy, axis=_ACCURACIES),
    }
    tooltip = ["backbone:N", alt.Tooltip("cost:Q", format=number_format), alt.Tooltip("accuracy:Q", format=".1%")]
    points = alt.Chart(vega.make_data(frame)).mark_point(filled=True, size=90, opacity=1)
    shifts = label_placement.place_names(
        _scale(np.log(frame["cost"]) if far else frame["cost"], WIDTH),
        HEIGHT - _scale(frame["accuracy"], HEIGHT),
        frame["backbone"].tolist(),
        width=WIDTH,
    )
    named = alt.Chart(vega.make_data(frame.assign(dx=shifts[0], dy=shifts[1]))).encode(**position, text="backbone:N")
    dx, dy = alt.expr("datum.dx"), alt.expr("datum.dy")
    return vega.build_spec(
        named.mark_text(style="halo", dx=dx, dy=dy),
        points.encode(**position, **encodings.encode_names("backbone", names, None), tooltip=tooltip),
        named.mark_text(style="name", dx=dx, dy=dy),
        height=HEIGHT,
    )


_ACCURACIES = alt.Axis(format=encodings.PERCENT, tickCount=5)


def _scale(values: pd.Series, length: int) -> np.ndarray:
    """Return positions along an axis of that length, with a margin at both ends."""
    low, high = values.min(), values.max()
    share = (values.to_numpy() - low) / (high - low) if high > low else np.full(len(values), 0.5)
    return length * (0.1 + 0.8 * share)
