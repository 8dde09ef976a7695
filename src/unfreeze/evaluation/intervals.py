"""Intervals of proportions and of their differences: how far another test fold of the same kind could differ.

They come from the stratified bootstrap of `resampling`. Two measures keep the intervals of proportions honest.

* One image more is counted as right and one as wrong, spread over the classes (as Price and Bonett 2004, An improved
  confidence interval for a linear function of binomial proportions, spread theirs). Without them a class of which
  all images are right does not vary. For balanced accuracy of three classes of 200 images and one of 12, all with
  recall 0.9, the interval then held the truth in 77 % of simulated folds; with them in 97 %. For accuracy on 800
  images of one class the exact coverage is 0.950 on average from 0.55 to 0.92, and 0.956 (at least 0.940) from 0.97
  to 0.995; with half as many added images it falls to 0.904 there, with twice as many to 0.924.
* Where all images that are counted are right, or none, accuracy, precision and recall have the exact limits of
  Clopper and Pearson (1934).
"""

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from unfreeze.evaluation import resampling
from unfreeze.records.interval import ALPHA, Interval

LIMITS = (ALPHA / 2, 1 - ALPHA / 2)
RESAMPLES = 2000
RIGHT_AND_WRONG = np.array([1.0, 1.0])
# Sums of weights are rounded: smaller variation counts as none.
ROUNDING = 1e-12


def estimate_accuracy(correct: np.ndarray, labels: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Put an interval to the accuracy on some images.

    Args:
        correct: Whether each image is right, bool array of shape (images,).
        labels: Class numbers, shape (images,).
        seed: Seed of the resamples.
        resamples: How many.

    Returns:
        value, low and high; the exact limits where all images are right or none.
    """
    value = float(correct.mean())
    if value in (0, 1):
        return estimate_exactly(int(correct.sum()), len(correct))
    sizes = np.unique(labels, return_counts=True)[1]
    return take_percentiles(value, resample_recalls(correct, labels, seed, resamples) @ sizes / len(labels))


def estimate_balanced_accuracy(
    correct: np.ndarray, labels: np.ndarray, *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Put an interval to the mean recall of the classes that are there.

    Args:
        correct: Whether each image is right, bool array of shape (images,).
        labels: Class numbers, shape (images,).
        seed: Seed of the resamples.
        resamples: How many.

    Returns:
        value, low and high.
    """
    right, wrong = resampling.count_by_class(np.stack([correct, ~correct]), labels).T
    value = float((right / (right + wrong)).mean())
    return take_percentiles(value, resample_recalls(correct, labels, seed, resamples).mean(axis=1))


def estimate_difference(
    labels: np.ndarray,
    first_correct: np.ndarray,
    second_correct: np.ndarray,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Interval:
    """Put an interval to the difference in accuracy of two classifiers on the same images.

    Images are resampled with both answers (a paired bootstrap), after one more was counted that only the first has
    right and one that only the second has (as Bonett and Price 2012, Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data, count them). So two that agree on all images differ by 0
    with limits of about 3 images on either side: so many may differ in another fold.

    Args:
        labels: Class numbers, shape (images,).
        first_correct: Whether the first is right, bool array of shape (images,).
        second_correct: The same of the second.
        seed: Seed of the resamples.
        resamples: How many.

    Returns:
        value (the first's accuracy minus the second's), low and high.
    """
    only_first, only_second = first_correct & ~second_correct, second_correct & ~first_correct
    counts = resampling.count_by_class(np.stack([only_first, only_second, first_correct == second_correct]), labels)
    rng = np.random.default_rng(seed)
    shares = resampling.resample_shares(counts, np.array([1.0, 1.0, 0.0]), rng, resamples)
    gaps = (shares[..., 0] - shares[..., 1]) @ counts.sum(axis=1) / len(labels)
    return take_percentiles((only_first.sum() - only_second.sum()) / len(labels), gaps, lowest=-1)


def resample_recalls(correct: np.ndarray, labels: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Resample the recalls of the classes with images.

    Args:
        correct: Whether each image is right, bool array of shape (images,).
        labels: Class numbers, shape (images,).
        seed: Seed of the resamples.
        resamples: Number of resamples.

    Returns:
        Shape (resamples, classes with images).
    """
    counts = resampling.count_by_class(np.stack([correct, ~correct]), labels)
    return resampling.resample_shares(counts, RIGHT_AND_WRONG, np.random.default_rng(seed), resamples)[..., 0]


def estimate_by_jeffreys(right: int, images: int) -> Interval:
    """Return a proportion with Jeffreys' limits, or the exact ones where all images are right or none.

    Args:
        right: Number of images that are right.
        images: Number of images, 1 or more.

    >>> estimate_by_jeffreys(334, 361)
    Interval(value=0.925207756232687, low=0.8946460759985173, high=0.9489909038473727)
    """
    if right in (0, images):
        return estimate_exactly(right, images)
    return make_interval(right / images, *proportion_confint(right, images, ALPHA, method="jeffreys"))


def estimate_exactly(right: int, images: int) -> Interval:
    """Return a proportion with the limits of Clopper and Pearson (1934).

    Args:
        right: Number of images that are right.
        images: Number of images; of none, the proportion is 0 with limits 0 and 1.

    >>> round(estimate_exactly(0, 3).high, 4)
    0.7076
    """
    if images == 0:
        return make_interval(0.0, 0.0, 1.0)
    return make_interval(right / images, *proportion_confint(right, images, ALPHA, method="beta"))


def bound_unseen_share(images: float) -> float:
    """Return the upper limit of Clopper and Pearson (1934) for a share that was 0 in so many images."""
    return float(proportion_confint(0, images, ALPHA, method="beta")[1])


def widen_constant(value: float, images: float) -> Interval:
    """Return the interval of a score from 0 to 1 that no resample changes, since all images are of one kind.

    Args:
        value: The score.
        images: Number of images, or effective sample size.
    """
    unseen = bound_unseen_share(images)
    return make_interval(value, max(0.0, value - unseen), min(1.0, value + unseen))


def take_percentiles(value: float, resampled: np.ndarray, lowest: float = 0.0, highest: float = 1.0) -> Interval:
    """Return a score with the quantiles `LIMITS` of its resamples, moved outwards to hold the score.

    Args:
        value: The score.
        resampled: The same of each resample, shape (resamples,).
        lowest: Least possible score.
        highest: Largest possible score.
    """
    low, high = np.clip(np.quantile(resampled, LIMITS), lowest, highest)
    return make_interval(value, min(low, value), max(high, value))


def make_interval(value: float, low: float, high: float) -> Interval:
    """Return the interval of numbers of any float type."""
    return Interval(value=float(value), low=float(low), high=float(high))
