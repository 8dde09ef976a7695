"""Sets of classes that hold the right one with a stated probability (split conformal prediction)."""

import math

import numpy as np

from unfreeze.errors import UnfreezeError
from unfreeze.records.packed_model import PackedModel


def find_quantile(scores: np.ndarray, coverage: float) -> float:
    """Return the largest score that a class in a set may have.

    On average over draws of n calibration images and of a new image like them, the set holds the right class with at
    least this probability, and at most 1 / (n + 1) more (Vovk et al. 2005; Angelopoulos and Bates 2023, "Conformal
    Prediction: A Gentle Introduction", section 1).

    Args:
        scores: One minus the probability of the right class of each calibration image, ascending; at least one.
        coverage: The probability, above 0 and below 1.

    Returns:
        The ceil((n + 1) coverage)-th smallest score; 1 where there are fewer images, so that sets hold all classes.

    Example:
        >>> find_quantile(np.array([0.1, 0.2, 0.6]), 0.5)
        0.2
    """
    # What rounding adds must not count as one more image: (19 + 1) * 0.95 is 19.
    place = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(scores[place - 1]) if place <= len(scores) else 1.0


def choose_sets(probabilities: np.ndarray, quantile: float) -> np.ndarray:
    """Return which classes each set holds; the predicted one always.

    Args:
        probabilities: Shape (images, classes).
        quantile: As `find_quantile` returns it.

    Returns:
        bool array of the same shape.

    Example:
        >>> choose_sets(np.array([[0.7, 0.2, 0.1]]), 0.8).tolist()
        [[True, True, False]]
    """
    # As scores are computed, so that equal ones compare as equal.
    chosen = 1 - probabilities <= quantile
    chosen[np.arange(len(chosen)), probabilities.argmax(axis=1)] = True
    return np.asarray(chosen)


def require_calibration(model: PackedModel) -> None:
    """Refuse sets from a model that nothing calibrates them on.

    Raises:
        UnfreezeError: Names the setting.
    """
    if not model.calibration_images:
        raise UnfreezeError(
            f"{model.backbone} was packed without a calibration fold, so --sets has nothing to calibrate on: give "
            "split.calibration a share such as 0.1 in params.yaml and run `dvc repro`"
        )
