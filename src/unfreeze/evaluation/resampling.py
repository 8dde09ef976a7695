"""The stratified bootstrap: images are drawn again with replacement within each true class.

Classes keep their sizes, as they do when a fold is split off class by class. Of n images of a class n - 1 are drawn
and count n / (n - 1) each: with n drawn, small classes seem to vary too little (Rao and Wu 1988, Resampling inference
with complex survey data). Classes of one image cannot tell how much they vary and are drawn from each other.
"""

import numpy as np


def count_by_class(kinds: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count the images of each kind in each class.

    Args:
        kinds: Whether an image is of a kind, bool array of shape (kinds, images).
        labels: Class numbers, shape (images,).

    Returns:
        Shape (classes, kinds), of the classes that are there, in order.
    """
    there, rows = np.unique(labels, return_inverse=True)
    return np.stack([np.bincount(rows, kind, minlength=len(there)) for kind in kinds], axis=1)


def count_draws(sizes: np.ndarray) -> np.ndarray:
    """Return how many images of a class of some size are drawn, int64 array of the same shape."""
    return np.asarray(np.maximum(sizes - 1, 1).astype(np.int64))


def resample_shares(counts: np.ndarray, added: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Resample how many images of a class are of each kind.

    That is the bootstrap of images where nothing but their kinds counts.

    Args:
        counts: Images of each kind, shape (classes, kinds); no class is empty.
        added: Images of each kind to add, spread evenly over the classes, shape (kinds,).
        rng: Random stream.
        resamples: How many.

    Returns:
        Each kind's share of its class, shape (resamples, classes, kinds).
    """
    sizes = counts.sum(axis=1)
    alone = sizes == 1
    if alone.any():
        counts = np.where(alone[:, None], counts[alone].mean(axis=0), counts)
    smoothed = counts + added / len(counts)
    chances = smoothed / smoothed.sum(axis=1, keepdims=True)
    times = count_draws(sizes)
    return np.asarray(rng.multinomial(times, chances, (resamples, len(counts))) / times[:, None])


def resample_weights(labels: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Resample images.

    Args:
        labels: Class numbers, shape (images,).
        rng: Random stream.
        resamples: How many.

    Returns:
        How often each image counts, shape (resamples, images).
    """
    alone = np.bincount(labels)[labels] == 1
    _, strata, sizes = np.unique(np.where(alone, -1, labels), return_inverse=True, return_counts=True)
    members = np.split(np.argsort(strata, kind="stable"), sizes.cumsum()[:-1])
    times = count_draws(sizes)
    picked = [
        of_stratum[rng.integers(0, len(of_stratum), (resamples, count))]
        for of_stratum, count in zip(members, times, strict=True)
    ]
    counts = [np.bincount(row, minlength=len(labels)) for row in np.concatenate(picked, axis=1)]
    return np.asarray(np.stack(counts) * (sizes / times)[strata])
