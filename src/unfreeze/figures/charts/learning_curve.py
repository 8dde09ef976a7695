"""The learning curve of a probe on a backbone's features."""

import altair as alt
import pandas as pd

from unfreeze.figures import encodings, vega
from unfreeze.figures.data import BackboneData
from unfreeze.figures.formats import format_count, format_percent
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_backbone_chart
from unfreeze.records.interval import LEVEL
from unfreeze.records.learning_curves import LearningCurve


@register_backbone_chart("learning_curve", "Learning curve")
def draw_learning_curve(data: BackboneData) -> list[Chart]:
    """Return validation accuracy by the number of training images; nothing where it was not measured."""
    curve = data.learning_curve
    if curve is None or not curve.points:
        return []
    rows = [
        [
            format_count(point.images),
            format_percent(point.accuracy),
            format_percent(point.low),
            format_percent(point.high),
        ]
        for point in curve.points
    ]
    return [
        Chart(
            "Learning curve",
            f"Accuracy of a probe on features of {data.name} by the number of training images. {curve.text}",
            _build_spec(curve),
            Table(f"Learning curve with {LEVEL} intervals", ["training images", "accuracy", "from", "to"], rows),
            [curve.text],
        )
    ]


def _build_spec(curve: LearningCurve) -> dict[str, object]:
    title = "accuracy, validation fold"
    points = pd.DataFrame([point.to_json() for point in curve.points])
    base = alt.Chart(vega.make_data(points)).encode(
        x=alt.X("images:Q", title="training images", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
        y=encodings.encode_share("accuracy", title),
    )
    limits = {"y": alt.Y("low:Q", title=title, scale=alt.Scale(zero=False)), "y2": "high:Q"}
    tooltip = ["images:Q", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("accuracy", "low", "high"))]
    return vega.build_spec(
        base.mark_area(style="band").encode(**limits),
        base.mark_line(style="only", strokeWidth=1.75),
        base.mark_point(style="only", filled=True, size=60, opacity=1).encode(tooltip=tooltip),
        height=260,
    )
