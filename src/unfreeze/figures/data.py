"""What charts show: the results of one backbone, and of a study, read from the files that stages wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.records.costs import TrainingCost
from unfreeze.records.learning_curves import LearningCurve
from unfreeze.records.predictions import Predictions
from unfreeze.records.test_scores import Evaluation
from unfreeze.records.trial import SearchResult
from unfreeze.records.verdict import Verdict


@dataclass(frozen=True)
class BackboneData:
    """The results of one backbone.

    Args:
        name: The backbone's name.
        classes: Class names by number.
        scores: Scores on the test fold.
        search: Trials of its search.
        learning_curve: Accuracy of probes by the number of training images; None where it was not measured.
        history: One row an epoch: step, phase, loss, accuracy, val_loss, val_accuracy.
        roc: One row a point: class, fpr, tpr.
        precision_recall: One row a point: class, recall, precision.
        reliability: One row a bin: low, high, images, confidence, accuracy; the last two NaN without images.
        risk_coverage: One row a threshold, the highest first: coverage, risk, threshold.
    """

    name: str
    classes: tuple[str, ...]
    scores: Evaluation
    search: SearchResult
    learning_curve: LearningCurve | None
    history: pd.DataFrame
    roc: pd.DataFrame
    precision_recall: pd.DataFrame
    reliability: pd.DataFrame
    risk_coverage: pd.DataFrame

    @classmethod
    def read(cls, paths: Paths, backbone: str) -> "BackboneData":
        """Read a backbone's results.

        Args:
            paths: The checkout.
            backbone: The backbone's name.
        """
        curve = files.read_json(paths.learning_curve(backbone))
        return cls(
            name=backbone,
            classes=tuple(Predictions.read(paths.predictions(backbone)).classes),
            scores=Evaluation.read(paths.evaluation(backbone)),
            search=SearchResult.read(paths.search(backbone)),
            learning_curve=LearningCurve.model_validate(curve) if curve else None,
            history=pd.read_csv(paths.history(backbone)),
            roc=_read_curves(paths.roc(backbone)),
            precision_recall=_read_curves(paths.precision_recall(backbone)),
            reliability=pd.read_csv(paths.reliability(backbone)),
            risk_coverage=pd.read_csv(paths.risk_coverage(backbone)),
        )


@dataclass(frozen=True)
class StudyData:
    """The results of a study.

    Args:
        verdict: How the backbones compare.
        backbones: Results by backbone, in the study's order.
    """

    verdict: Verdict
    backbones: Mapping[str, BackboneData]

    @classmethod
    def read(cls, paths: Paths, backbones: Sequence[str]) -> "StudyData":
        """Read a study's results.

        Args:
            paths: The checkout.
            backbones: Names of the study's backbones.
        """
        return cls(Verdict.read(paths.verdict), {name: BackboneData.read(paths, name) for name in backbones})

    @property
    def names(self) -> list[str]:
        """Names of the backbones in the order of colours and shapes: sorted, so that a new best changes none."""
        return sorted(self.backbones)


@dataclass(frozen=True)
class CostData:
    """The results of a study with what its models cost, which differs from run to run.

    Args:
        study: The results.
        costs: Costs by backbone.
    """

    study: StudyData
    costs: Mapping[str, TrainingCost]


def _read_curves(path: Path) -> pd.DataFrame:
    """Read curves by class; a class called 007 or NA keeps its name."""
    return pd.read_csv(path, dtype={"class": str}, keep_default_na=False)
