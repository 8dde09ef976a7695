"""The reliability diagram of a backbone."""

import altair as alt
import pandas as pd

from unfreeze.figures import encodings, vega
from unfreeze.figures.data import BackboneData
from unfreeze.figures.formats import NONE, format_count, format_decimal, format_percent
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_backbone_chart


@register_backbone_chart("reliability", "Reliability")
def draw_reliability(data: BackboneData) -> list[Chart]:
    """Return accuracy by confidence, the probability of the predicted class."""
    errors = data.scores.calibration
    note = (
        f"Expected calibration error {format_decimal(errors.calibration_error)}; "
        f"{format_decimal(errors.uncalibrated_error)} before dividing logits by the temperature "
        f"{format_decimal(errors.temperature)}, which the model does."
    )
    return [
        Chart(
            "Reliability",
            f"Accuracy by confidence of {data.name}. {note}",
            _build_spec(data.reliability),
            _tabulate(data.reliability),
            [
                note,
                "Dashed: perfect calibration. Below it the model is overconfident.",
                "The larger a point, the more images.",
            ],
        )
    ]


def _build_spec(bins: pd.DataFrame) -> dict[str, object]:
    base = alt.Chart(vega.make_data(bins[bins["images"] > 0])).encode(
        x=encodings.encode_share("confidence", "mean confidence", whole=True, axis=alt.X),
        y=encodings.encode_share("accuracy", "accuracy", whole=True),
    )
    diagonal = alt.Chart(vega.make_data(pd.DataFrame({"x": [0, 1], "y": [0, 1]})))
    size = alt.Size("images:Q", scale=alt.Scale(range=[20, 400]), legend=None)
    tooltip = ["images:Q", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("confidence", "accuracy"))]
    return vega.build_spec(
        diagonal.mark_line(style="guide").encode(x="x:Q", y="y:Q"),
        base.mark_line(style="only", strokeWidth=1.5),
        base.mark_point(style="only", filled=True, opacity=0.75).encode(size=size, tooltip=tooltip),
        height=300,
    )


def _tabulate(bins: pd.DataFrame) -> Table:
    rows = [
        [
            f"{format_percent(row['low'])} to {format_percent(row['high'])}",
            format_count(row["images"]),
            *(format_percent(row[name]) if row["images"] else NONE for name in ("confidence", "accuracy")),
        ]
        for row in bins.to_dict("records")
    ]
    return Table("Reliability by bin of confidence", ["confidence", "images", "mean confidence", "accuracy"], rows)
