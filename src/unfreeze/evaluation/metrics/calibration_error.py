"""Expected calibration error of the saved model, temperature included: the mean gap of confidence and accuracy."""

import numpy as np

from unfreeze.evaluation import calibration
from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.intervals import ROUNDING, take_percentiles, widen_constant
from unfreeze.evaluation.metric_registry import Metric, register
from unfreeze.records.interval import Interval


def estimate(fold: Fold) -> Interval:
    """Return the calibration error of folds of this size, resampled by images.

    Chance makes it larger in small folds, and resampling shifts it as well; that shift is removed.
    """
    images = len(fold.labels)
    gaps = np.zeros((images, calibration.BINS))
    confidence = fold.probabilities.max(axis=1)
    gaps[np.arange(images), calibration.assign_bins(fold.probabilities)] = confidence - fold.correct
    resampled = np.concatenate([np.abs(weights @ gaps).sum(axis=1) / images for weights in fold.draw_image_weights()])
    value = calibration.compute_calibration_error(fold.labels, fold.probabilities)
    if np.ptp(resampled) < ROUNDING:
        return widen_constant(value, images)
    return take_percentiles(value, value + resampled - resampled.mean())


register(Metric("calibration_error", "calibration error", estimate, higher_is_better=False, position=60))
