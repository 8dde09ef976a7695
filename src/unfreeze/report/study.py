"""All that a report tells, read from files beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from unfreeze.records.study_report import Report, Suite
from unfreeze.records.verdict import Verdict


@dataclass(frozen=True)
class Study:
    """The results of one study.

    Tables hold numbers as numbers and names of classes and images as text.

    Args:
        verdict: The content of metrics/verdict.json.
        histories: By backbone, one row an epoch: step, phase, loss, accuracy, val_loss, val_accuracy.
        roc: By backbone: class, fpr, tpr.
        precision_recall: By backbone: class, recall, precision.
        reliability: By backbone, one row a bin: low, high, images, confidence, accuracy.
        mistakes: By backbone, one row a picture, the most telling first: kind (mistake or doubtful), id, label,
            predicted, probability, picture and heatmap (JPEG), neighbours.
        checks: Results of suites, as in metrics/checks/.
        lineage: What the results were made from: commit, digests, versions.
        links: Addresses of other pages by title, relative to the report.
    """

    verdict: Verdict
    histories: Mapping[str, pd.DataFrame]
    roc: Mapping[str, pd.DataFrame]
    precision_recall: Mapping[str, pd.DataFrame]
    reliability: Mapping[str, pd.DataFrame]
    mistakes: Mapping[str, pd.DataFrame]
    checks: Sequence[Suite]
    lineage: Mapping[str, str]
    links: Mapping[str, str]


def content(study: Study) -> Report:
    """Return what reports/report.json holds: the verdict, the checks and what all was made from."""
    return Report(**dict(study.verdict), checks=tuple(study.checks), lineage=dict(study.lineage))
