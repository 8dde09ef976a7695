"""Calibration: whether predictions are right as often as their probabilities say."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import chdtri, log_softmax, softmax

from unfreeze.records.interval import ALPHA

# Guo et al. 2017 use 15 bins.
BINS = 15
# Networks are found at 1 to 4; past these bounds probabilities are all but even, or all but 0 and 1.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
# What float64 can tell from 0 beside 1; scikit-learn's log loss clips there too.
LEAST_PROBABILITY = np.finfo(np.float64).eps


def compute_reliability(labels: np.ndarray, probabilities: np.ndarray, *, bins: int = BINS) -> pd.DataFrame:
    """Compare confidence, the probability of the predicted class, with accuracy.

    Images are put into bins of equal width by their confidence (Guo, Pleiss, Sun and Weinberger 2017, On
    calibration of modern neural networks).

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes); rows add up to 1.
        bins: Number of bins.

    Returns:
        One row a bin: low (outside the bin), high (inside), images, and their mean confidence and accuracy, which
        are NaN where the bin is empty.
    """
    numbers = assign_bins(probabilities, bins)
    images = np.bincount(numbers, minlength=bins)
    filled = np.where(images > 0, images, np.nan)
    edges = np.linspace(0, 1, bins + 1)
    correct = probabilities.argmax(axis=1) == labels
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "images": images,
            "confidence": np.bincount(numbers, probabilities.max(axis=1), minlength=bins) / filled,
            "accuracy": np.bincount(numbers, correct, minlength=bins) / filled,
        }
    )


def compute_calibration_error(labels: np.ndarray, probabilities: np.ndarray, *, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean gap between confidence and accuracy, from 0 to 1.

    Bins of `compute_reliability` are weighted by their images (Guo et al. 2017). Chance alone makes it larger than 0,
    more so in a small fold.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes); rows add up to 1.
        bins: Number of bins.
    """
    table = compute_reliability(labels, probabilities, bins=bins)
    gaps = (table["confidence"] - table["accuracy"]).abs() * table["images"]
    return float(gaps.sum() / len(labels))


def assign_bins(probabilities: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return the number of each image's bin, from 0; a bin holds its upper edge and not its lower one."""
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    return np.asarray(np.searchsorted(inner, probabilities.max(axis=1), side="left"))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Find the temperature that makes probabilities fit the labels of a validation fold best.

    It minimises the log loss (temperature scaling, Guo et al. 2017). Above 1 the network was too sure of itself. 1 is
    taken where the fold cannot tell the best temperature from it (likelihood ratio test).

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes); rows add up to 1.

    Returns:
        0.05 to 20. 1 where the fold cannot tell: all images are right, so that the loss falls until every
        probability is 0 or 1, or the best temperature is no better than chance would make it.
    """
    if (probabilities.argmax(axis=1) == labels).all():
        return 1.0
    even = np.ones(len(labels))
    temperature, loss = _find_lowest_loss(labels, probabilities, even)
    # Twice the gain in log likelihood is distributed as chi-squared where 1 is right (Wilks 1938).
    gain = 2 * len(labels) * (_compute_loss(_compute_logits(probabilities), labels, even) - loss)
    return temperature if gain > chdtri(1, ALPHA) else 1.0


def measure_calibrated_loss(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> float:
    """Return the log loss at the temperature that makes it lowest: what is left when a model knows how sure to be.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes); rows add up to 1.
        weights: What each image counts, shape (images,).
    """
    return _find_lowest_loss(labels, probabilities, weights)[1]


def _find_lowest_loss(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the temperature at which the log loss is lowest, and that loss."""
    logits = _compute_logits(probabilities)
    found = minimize_scalar(
        lambda log_temperature: _compute_loss(logits / np.exp(log_temperature), labels, weights),
        bounds=(np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE)),
        method="bounded",
    )
    return float(np.exp(found.x)), float(found.fun)


def _compute_loss(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    losses = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return float(np.average(losses, weights=weights))


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities as they are at a temperature; the predicted classes stay.

    Args:
        probabilities: Shape (images, classes); rows add up to 1.
        temperature: Above 0; 1 changes nothing, above it they come closer to each other.

    Returns:
        Probabilities of the same shape; rows add up to 1.
    """
    return np.asarray(softmax(_compute_logits(probabilities) / temperature, axis=1))


def _compute_logits(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.clip(probabilities, LEAST_PROBABILITY, 1)))
