"""Balanced accuracy: the mean recall of the classes with images."""

from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.intervals import balanced_accuracy_interval
from unfreeze.evaluation.metric_registry import Metric, register
from unfreeze.records.interval import Interval


def interval(fold: Fold) -> Interval:
    """Return the balanced accuracy."""
    return balanced_accuracy_interval(fold.correct, fold.labels, seed=fold.seed, resamples=fold.resamples)


register(Metric("balanced_accuracy", "balanced accuracy", interval, unit="percent", in_summary=False, position=20))
