"""Balanced accuracy: the mean recall of the classes with images."""

from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.intervals import estimate_balanced_accuracy
from unfreeze.evaluation.metric_registry import Metric, register
from unfreeze.records.interval import Interval


def estimate(fold: Fold) -> Interval:
    """Return the balanced accuracy."""
    return estimate_balanced_accuracy(fold.correct, fold.labels, seed=fold.seed, resamples=fold.resamples)


register(Metric("balanced_accuracy", "balanced accuracy", estimate, unit="percent", in_summary=False, position=20))
