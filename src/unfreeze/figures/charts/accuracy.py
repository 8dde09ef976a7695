"""The accuracy of all backbones with intervals, and that of the majority-class baseline."""

import pandas as pd

from unfreeze.figures import encodings
from unfreeze.figures.data import StudyData
from unfreeze.figures.formats import format_percent, mark_baseline
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_study_chart
from unfreeze.records.interval import LEVEL
from unfreeze.records.pretrained_weights import RANDOM

TITLE = f"Accuracy with {LEVEL} intervals"


@register_study_chart("accuracy", TITLE, "comparison")
def draw_accuracy(data: StudyData) -> list[Chart]:
    """Return one interval a backbone, the best on top."""
    verdict = data.verdict
    names = {
        row.backbone: mark_baseline(row.backbone, verdict) + (f", {RANDOM} weights" if row.weights == RANDOM else "")
        for row in verdict.rows
    }
    frame = pd.DataFrame(
        {"series": row.backbone, "name": names[row.backbone], **row.accuracy.to_json()} for row in verdict.rows
    )
    best, worst = verdict.rows[0], verdict.rows[-1]
    ends = f"best {names[best.backbone]} with {format_percent(best.accuracy.value)}"
    if worst is not best:
        ends += f", lowest {names[worst.backbone]} with {format_percent(worst.accuracy.value)}"
    majority = f"the majority-class baseline, {format_percent(verdict.majority)}"
    spec = encodings.draw_intervals(
        frame,
        title="accuracy on the test fold",
        guide=verdict.majority,
        number_format=encodings.PERCENT,
        names=data.names,
    )
    rows = [
        [
            names[row.backbone],
            *(format_percent(value) for value in (row.accuracy.value, row.accuracy.low, row.accuracy.high)),
        ]
        for row in verdict.rows
    ]
    table = Table(TITLE, ["backbone", "accuracy", "from", "to"], rows)
    return [Chart(TITLE, f"{TITLE}: {ends}; {majority}.", spec, table, [f"Dashed: {majority}."])]
