"""Accuracy: the share of images that are classified correctly."""

from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.intervals import estimate_accuracy
from unfreeze.evaluation.metric_registry import Metric, register
from unfreeze.records.interval import Interval


def estimate(fold: Fold) -> Interval:
    """Return the accuracy."""
    return estimate_accuracy(fold.correct, fold.labels, seed=fold.seed, resamples=fold.resamples)


register(Metric("accuracy", "accuracy", estimate, unit="percent", position=10))
