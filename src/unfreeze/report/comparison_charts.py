"""Charts that compare all backbones: accuracy, pairs and costs."""

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from unfreeze.records.pretrained_weights import RANDOM
from unfreeze.records.verdict import Row, Verdict
from unfreeze.report import encodings, label_placement, tables, vega
from unfreeze.report.formats import Number, digits, percent, points, scaled
from unfreeze.report.parts import Chart, Table

MOST_PAIRS = 30
# Pixels: a scatter plot's height, and its width on a narrow page.
SCATTER_HEIGHT = 260
SCATTER_WIDTH = 270
# Costs that are so many times apart are drawn on a logarithmic axis.
FAR = 10


def accuracy(verdict: Verdict) -> Chart:
    """Return the accuracy of all backbones with intervals, and what naming the largest class gets."""
    rows = [{"series": row.backbone, "name": _marked(row, verdict), **dict(row.accuracy)} for row in verdict.rows]
    best, worst = rows[0], rows[-1]
    told = f"Accuracy with 95 % intervals: best {best['name']} with {percent(best['value'])}"
    told += f", lowest {worst['name']} with {percent(worst['value'])}." if len(rows) > 1 else "."
    return Chart(
        "Accuracy with 95 % intervals",
        f"{told} Always naming the largest class gets {percent(verdict.majority)}.",
        encodings.intervals(
            pd.DataFrame(rows), title="accuracy on the test fold", guide=verdict.majority,
            written=encodings.PERCENT, names=encodings.order(verdict),
        ),
        Table(
            "Accuracy with 95 % intervals",
            ["backbone", "accuracy", "from", "to"],
            [[row["name"], *(percent(row[column]) for column in ("value", "low", "high"))] for row in rows],
        ),
        [f"Dashed: always naming the largest class, {percent(verdict.majority)}."],
    )  # fmt: skip


def pairs(verdict: Verdict) -> Chart:
    """Return the differences of pairs with intervals, the largest first."""
    ranked = sorted(verdict.pairs, key=lambda pair: -abs(pair.difference.value))[:MOST_PAIRS]
    rows = [
        {
            "name": f"{pair.first} minus {pair.second}{' *' if pair.significant else ''}",
            **dict(pair.difference),
        }
        for pair in ranked
    ]
    significant = sum(pair.significant for pair in verdict.pairs)
    of = f"{significant} of {len(verdict.pairs)} pairs differ by more than chance"
    shown = pd.DataFrame(rows)
    numbers = shown[["value", "low", "high"]].astype(float) * 100
    return Chart(
        "Differences of accuracy with 95 % intervals",
        f"Differences of accuracy between two backbones in points, with 95 % intervals: {of}.",
        encodings.intervals(shown.assign(**numbers), title="difference, points", guide=0, written="+.0f"),
        Table(
            "Differences of accuracy with 95 % intervals, points",
            ["pair", "difference", "from", "to"],
            [[row["name"], *(points(row[column]) for column in ("value", "low", "high"))] for row in rows],
        ),
        [f"* {of}, after Holm's adjustment. Dashed: no difference."],
    )


def costs(verdict: Verdict) -> list[Chart]:
    """Return accuracy against latency, size and multiply-adds."""
    rows = verdict.rows
    batches = sorted({batch for row in rows for batch in row.cost.latency_ms}, key=int)
    charts = [
        _cost(
            verdict,
            f"latency, batch {batch}",
            "milliseconds an image",
            digits,
            [tables.milliseconds(row, batch) for row in rows],
        )
        for batch in batches
    ]
    size = [row.cost.size_mb for row in rows]
    operations = [row.cost.multiply_accumulates for row in rows]
    charts.append(_cost(verdict, "size of the model", "MB", digits, size))
    charts.append(_cost(verdict, "multiply-adds", "multiply-adds an image", scaled, operations))
    return [chart for chart in charts if chart.table.rows]


def _cost(
    verdict: Verdict, name: str, unit: str, write: Callable[[Number], str], values: Sequence[float | None]
) -> Chart:
    rows: list[dict[str, Any]] = [
        {"backbone": row.backbone, "cost": value, "accuracy": row.accuracy.value}
        for row, value in zip(verdict.rows, values, strict=True)
        if value
    ]
    told = "; ".join(f"{row['backbone']} {percent(row['accuracy'])} at {write(row['cost'])}" for row in rows)
    spec = _scatter(pd.DataFrame(rows), unit, encodings.order(verdict)) if rows else {}
    table = [[row["backbone"], percent(row["accuracy"]), write(row["cost"])] for row in rows]
    title = f"Accuracy and {name}"
    return Chart(
        title, f"{title}, {unit}: {told}.", spec, Table(title, ["backbone", "accuracy", f"{name}, {unit}"], table)
    )


def _scatter(frame: pd.DataFrame, title: str, names: Sequence[str]) -> dict[str, Any]:
    """Return points with their names beside them."""
    far = frame["cost"].max() > FAR * frame["cost"].min()
    position: dict[str, Any] = {
        "x": alt.X(
            "cost:Q",
            title=title,
            scale=alt.Scale(type="log", nice=False, padding=24) if far else alt.Scale(zero=False, padding=24),
            axis=alt.Axis(format="~s", tickCount=5, grid=not far),
        ),
        "y": alt.Y(
            "accuracy:Q",
            title="accuracy",
            scale=alt.Scale(zero=False, padding=16),
            axis=alt.Axis(format=encodings.PERCENT, tickCount=5),
        ),
    }
    tooltip = ["backbone:N", alt.Tooltip("cost:Q", format=".3s"), alt.Tooltip("accuracy:Q", format=".1%")]
    points = alt.Chart(vega.data(frame)).mark_point(filled=True, size=90, opacity=1)
    placed = label_placement.beside(
        _scaled(np.log(frame["cost"]) if far else frame["cost"], SCATTER_WIDTH),
        SCATTER_HEIGHT - _scaled(frame["accuracy"], SCATTER_HEIGHT),
        frame["backbone"].tolist(),
        width=SCATTER_WIDTH,
    )
    named = alt.Chart(vega.data(frame.assign(dx=placed[0], dy=placed[1]))).encode(**position, text="backbone:N")
    dx, dy = alt.expr("datum.dx"), alt.expr("datum.dy")
    return vega.specification(
        named.mark_text(style="halo", dx=dx, dy=dy),
        points.encode(**position, **encodings.of_names("backbone", names, None), tooltip=tooltip),
        named.mark_text(style="name", dx=dx, dy=dy),
        height=SCATTER_HEIGHT,
    )


def _scaled(values: pd.Series, length: int) -> np.ndarray:
    """Return places along an axis of that length, with a margin at both ends."""
    low, high = values.min(), values.max()
    share = (values.to_numpy() - low) / (high - low) if high > low else np.full(len(values), 0.5)
    return length * (0.1 + 0.8 * share)


def _marked(row: Row, verdict: Verdict) -> str:
    name = tables.name_of(row, verdict)
    return f"{name}, {RANDOM} weights" if row.weights == RANDOM else name
