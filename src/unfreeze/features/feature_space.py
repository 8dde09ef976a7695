"""The quality of a backbone's features, before anything is trained on them."""

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from unfreeze.features import probes
from unfreeze.records.interval import ALPHA
from unfreeze.records.selftest import ProbeSkill

# Gives an interval of +-4 percentage points; a probe on more images takes longer for little gain.
MOST_IMAGES = 600


def count_effective_dimensions(features: np.ndarray) -> float:
    """Return the effective number of dimensions of features: the participation ratio.

    That is (sum of l)^2 / (sum of l^2) over the eigenvalues l of the covariance: their number if all are equal, 1
    if features differ along one line, 0 if they do not differ (Gao et al. 2017, "A theory of multineuronal
    dimensionality, dynamics and measurement").

    Args:
        features: Finite array of shape (images, channels).

    >>> square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    >>> count_effective_dimensions(square), count_effective_dimensions(square * [1, 0])
    (2.0, 1.0)
    """
    # Subtract the first row before the mean: a mean is rounded, and features that are all the same must give 0.
    centred = features.astype("float64") - features[0].astype("float64")
    centred -= centred.mean(axis=0)
    # Both products have the same nonzero eigenvalues; these sum to the trace, their squares to the squared norm.
    product = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    squares = float(np.square(product).sum())
    return float(np.trace(product) ** 2 / squares) if squares else 0.0


def measure_probe_skill(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int) -> ProbeSkill | None:
    """Return the accuracy of probes on a sample of the images, and that of always predicting the largest class.

    Probes weight all classes equally. Their probabilities are multiplied by the classes' shares: otherwise guesses on
    unbalanced data would be right less often than the majority-class baseline.

    Args:
        features: float32 array of shape (images, channels).
        labels: Class numbers.
        groups: Group number of each image; images that belong together share one.
        seed: Seed of the choice of images, and of the probes' folds.

    Returns:
        The accuracy with its interval (Wilson 1927), and the share of the largest class; None if fewer than two
        classes have images in `probes.FOLDS` groups, which a probe needs.
    """
    chosen = _draw_stratified(labels, seed)
    found = pd.Series(groups[chosen]).groupby(labels[chosen]).nunique()
    chosen = chosen[np.isin(labels[chosen], found.index[found >= probes.FOLDS])]
    classes, numbers = np.unique(labels[chosen], return_inverse=True)
    if len(classes) < 2:
        return None
    shares = np.bincount(numbers) / len(numbers)
    probabilities = shares * probes.cross_validate(features[chosen], numbers, groups[chosen], seed)
    right = int((probabilities.argmax(axis=1) == numbers).sum())
    low, high = proportion_confint(right, len(numbers), ALPHA, method="wilson")
    return ProbeSkill(accuracy=right / len(numbers), majority=float(shares.max()), low=float(low), high=float(high))


def _draw_stratified(labels: np.ndarray, seed: int) -> np.ndarray:
    """Choose at most `MOST_IMAGES` images at random, of each class its share."""
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = pd.Series(labels[order]).groupby(labels[order])
    # Rank of each image in its class, from 0 to 1: below any bound every class has the same share of its images.
    place = (by_class.cumcount() + 0.5) / by_class.transform("size")
    return np.sort(order[np.argsort(place.to_numpy(), kind="stable")[:MOST_IMAGES]])
