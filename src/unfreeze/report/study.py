"""All that a report shows, read from files beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from unfreeze.figures.data import CostData
from unfreeze.records.corrections import Corrections
from unfreeze.records.exported_model import RecordedExports
from unfreeze.records.study_report import Report, ReportedVerdict, Suite

# metrics/verdict.json, as seen from reports/.
VERDICT = "../metrics/verdict.json"
EXPORTS = "../metrics/export/{backbone}.json"


@dataclass(frozen=True)
class Study:
    """The results of one study.

    Args:
        verdict: How the backbones compare, with their times.
        charts: What charts are drawn from.
        mistakes: By backbone, one row an image, the most telling first: kind (mistake or doubtful), id, label,
            predicted, probability, picture and heatmap (JPEG), neighbours.
        checks: Results of suites, as in metrics/checks/.
        lineage: What the results were made from: commit, digests, versions.
        links: Addresses of other pages by title, relative to the report.
        corrections: What corrections of labels changed.
        exports: The recorded exports of backbones that have any.
    """

    verdict: ReportedVerdict
    charts: CostData
    mistakes: Mapping[str, pd.DataFrame]
    checks: Sequence[Suite]
    lineage: Mapping[str, str]
    links: Mapping[str, str]
    corrections: Corrections
    exports: Sequence[RecordedExports] = ()


def join_report(study: Study) -> Report:
    """Return the content of reports/report.json, which refers to the verdict and to exports, and repeats neither."""
    exports = {
        f"Exported formats of {one.exports.backbone}": EXPORTS.format(backbone=one.exports.backbone)
        for one in study.exports
        if one.is_current
    }
    return Report(
        study=study.verdict.study,
        costs={row.backbone: row.cost for row in study.verdict.rows},
        feature_samples={
            row.backbone: row.feature_sample for row in study.verdict.rows if row.feature_sample is not None
        },
        test_evaluations=study.verdict.test_evaluations,
        checks=tuple(study.checks),
        corrections=study.corrections,
        lineage=dict(study.lineage),
        links={"Verdict": VERDICT, **exports, **study.links},
    )
