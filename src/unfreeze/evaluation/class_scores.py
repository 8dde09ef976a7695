"""Precision, recall and F1 of each class with their intervals."""

import numpy as np

from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.intervals import estimate_by_jeffreys, estimate_exactly, take_percentiles
from unfreeze.records.test_scores import Averages
from unfreeze.records.verdict import ClassScores


def score_classes(fold: Fold) -> dict[str, ClassScores]:
    """Return the scores of each class: it and the rest are a problem of two classes of fixed size.

    Hits and false alarms have Jeffreys' priors (Brown, Cai and DasGupta 2001, Interval estimation for a binomial
    proportion).

    Args:
        fold: The fold.

    Returns:
        By class name; None in place of scores where the fold has no image of the class.
    """
    hits, sizes = np.diag(fold.confusion), fold.confusion.sum(axis=1)
    alarms, rest = fold.confusion.sum(axis=0) - hits, fold.confusion.sum() - sizes
    rng, shape = fold.make_class_stream(), (fold.resamples, len(sizes))
    caught = sizes * rng.beta(hits + 0.5, sizes - hits + 0.5, shape)
    claimed = caught + rest * rng.beta(alarms + 0.5, rest - alarms + 0.5, shape)
    return {
        name: _score_class(values, int(hits[number]), int(alarms[number]), caught[:, number], claimed[:, number])
        for number, (name, values) in enumerate(fold.scores.classes.items())
    }


def _score_class(values: Averages, hits: int, alarms: int, caught: np.ndarray, claimed: np.ndarray) -> ClassScores:
    """Return one class's scores.

    Args:
        values: The scores without intervals.
        hits: Number of its images that are predicted as it.
        alarms: Number of other images that are predicted as it.
        caught: Resampled hits, shape (resamples,).
        claimed: Resampled hits and alarms, shape (resamples,).
    """
    if values.precision is None or values.f1 is None:
        return ClassScores(precision=None, recall=None, f1=None, support=0)
    size, claims = values.support, hits + alarms
    varies = 0 < hits < claims
    return ClassScores(
        precision=take_percentiles(values.precision, caught / claimed) if varies else estimate_exactly(hits, claims),
        recall=estimate_by_jeffreys(hits, size),
        f1=take_percentiles(values.f1, 2 * caught / (size + claimed)),
        support=size,
    )
