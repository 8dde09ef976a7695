"""Risk against coverage of a backbone, and the unlike images that its packed model rejects."""

import altair as alt
import numpy as np
import pandas as pd

from unfreeze.figures import encodings, vega
from unfreeze.figures.data import BackboneData
from unfreeze.figures.formats import format_decimal, format_percent
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_backbone_chart

MOST_POINTS = 100
# Coverages in the table.
SHOWN = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


@register_backbone_chart("risk_coverage", "Risk against coverage")
def draw_risk_coverage(data: BackboneData) -> list[Chart]:
    """Return the share of wrong answers among the accepted ones as more answers are accepted."""
    of, curve = data.scores.abstention, data.risk_coverage
    area = (
        f"Area under the curve {format_decimal(of.risk_area)}; about {format_decimal(1 - data.scores.accuracy)} if "
        "the probability said nothing."
    )
    return [
        Chart(
            "Risk against coverage",
            f"Share of wrong answers of {data.name} among the accepted ones, as the threshold on the probability "
            f"falls. {area}",
            _build_spec(curve, of.lowest, of.error_rate),
            _tabulate(curve),
            [area, f"Dashed: {format_percent(of.error_rate)}, which was asked for.", "Point: the packed threshold."],
        )
    ]


def _build_spec(curve: pd.DataFrame, lowest: float, error_rate: float) -> dict[str, object]:
    shown = curve.iloc[encodings.spread_evenly(len(curve), MOST_POINTS)]
    tooltip = [alt.Tooltip(f"{name}:Q", format=".1%") for name in curve.columns]
    position = {
        "x": encodings.encode_share("coverage", "share of answers accepted", whole=True, axis=alt.X),
        "y": encodings.encode_share("risk", "wrong among the accepted"),
    }
    # The last threshold that is not below the packed one; none if nothing is accepted.
    packed = curve[curve["threshold"] >= lowest].tail(1)
    asked = alt.Chart(vega.make_data(pd.DataFrame({"risk": [error_rate]})))
    return vega.build_spec(
        asked.mark_rule(style="guide").encode(y="risk:Q"),
        alt.Chart(vega.make_data(shown)).mark_line(style="only").encode(**position, tooltip=tooltip),
        alt.Chart(vega.make_data(packed))
        .mark_point(style="only", filled=True, size=90, opacity=1)
        .encode(**position, tooltip=tooltip),
        height=280,
    )


def _tabulate(curve: pd.DataFrame) -> Table:
    # The first threshold that accepts at least so many; equal probabilities are accepted together.
    places = np.searchsorted(curve["coverage"], np.array(SHOWN) - 1e-9).clip(max=len(curve) - 1)
    rows = [
        [format_percent(row["coverage"]), format_percent(row["threshold"]), format_percent(row["risk"])]
        for row in curve.iloc[np.unique(places)[::-1]].to_dict("records")
    ]
    return Table("Risk by coverage", ["accepted", "least probability", "wrong among them"], rows)
