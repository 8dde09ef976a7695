"""Macro F1: the mean over classes of the harmonic mean of precision and recall."""

import numpy as np

from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.intervals import take_percentiles
from unfreeze.evaluation.metric_registry import Metric, register
from unfreeze.records.interval import Interval


def estimate(fold: Fold) -> Interval:
    """Return the macro F1, resampled as rows of the confusion matrix.

    It is no sum over images, so that resampling shifts it; the shift is removed.
    """
    there = np.flatnonzero(fold.confusion.sum(axis=1))
    sizes = fold.confusion[there].sum(axis=1)
    hits = fold.recalls * sizes

    def macro(hits: np.ndarray, claims: np.ndarray) -> np.ndarray:
        return np.asarray((2 * hits / (sizes + claims[..., there])).mean(axis=-1))

    resampled = macro(hits, fold.claims)
    shift = resampled.mean() - macro(hits.mean(axis=0), fold.claims.mean(axis=0))
    value = fold.scores.macro.f1
    assert value is not None
    return take_percentiles(value, resampled - shift)


register(Metric("macro_f1", "macro F1", estimate, position=30))
