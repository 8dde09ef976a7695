"""Log loss: the mean negative logarithm of the true class's probability."""

import numpy as np

from unfreeze.evaluation.calibration import LEAST_PROBABILITY
from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.intervals import ROUNDING, bound_unseen_share, make_interval, take_percentiles
from unfreeze.evaluation.metric_registry import Metric, register
from unfreeze.records.interval import Interval


def estimate(fold: Fold) -> Interval:
    """Return the log loss, resampled by images."""
    images = len(fold.labels)
    losses = -np.log(np.maximum(fold.probabilities[np.arange(images), fold.labels], LEAST_PROBABILITY))
    resampled = np.concatenate([weights @ losses / images for weights in fold.draw_image_weights()])
    value = fold.scores.log_loss
    if np.ptp(resampled) >= ROUNDING:
        return take_percentiles(value, resampled, highest=np.inf)
    # All losses are equal. Unseen images lose nothing at best, and at worst as much as the least probability given.
    unseen = bound_unseen_share(images)
    worst = -np.log(max(fold.probabilities.min(), LEAST_PROBABILITY))
    return make_interval(value, value * (1 - unseen), value + worst * unseen)


register(Metric("log_loss", "log-loss", estimate, higher_is_better=False, position=40))
