"""The differences of accuracy between backbones with intervals."""

import pandas as pd

from unfreeze.figures import encodings
from unfreeze.figures.data import StudyData
from unfreeze.figures.formats import format_points
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_study_chart
from unfreeze.records.interval import LEVEL

MOST_PAIRS = 30
TITLE = f"Differences of accuracy with {LEVEL} intervals"


@register_study_chart("pairs", TITLE, "pairs")
def draw_pairs(data: StudyData) -> list[Chart]:
    """Return one interval a pair, the largest difference on top; nothing for one backbone."""
    pairs = data.verdict.pairs
    if not pairs:
        return []
    shown = sorted(pairs, key=lambda pair: -abs(pair.difference.value))[:MOST_PAIRS]
    names = [f"{pair.first} minus {pair.second}{' *' if pair.significant else ''}" for pair in shown]
    ends = [(pair.difference.value, pair.difference.low, pair.difference.high) for pair in shown]
    frame = pd.DataFrame(ends, columns=["value", "low", "high"]).astype(float) * 100
    significant = f"{sum(pair.significant for pair in pairs)} of {len(pairs)} pairs differ significantly"
    spec = encodings.draw_intervals(
        frame.assign(name=names), title="difference, percentage points", guide=0, number_format="+.0f"
    )
    table = Table(
        f"{TITLE}, percentage points",
        ["pair", "difference", "from", "to"],
        [[name, *map(format_points, values)] for name, values in zip(names, ends, strict=True)],
    )
    return [
        Chart(
            TITLE,
            f"Differences of accuracy between two backbones, percentage points, {LEVEL} intervals: {significant}.",
            spec,
            table,
            [f"* {significant}, p-values adjusted by Holm's method. Dashed: no difference."],
        )
    ]
