"""The outcome of a search: scores of trials, the best of them, and its gain over the configured settings."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from unfreeze.records.interval import CONFIDENCE
from unfreeze.records.trial import Gain, Trial

# Weight of the newest epoch in the score: one lucky epoch counts half.
SMOOTHING = 0.5
RESAMPLES = 2000
# Below it a probability counts as this one, so that no logarithm is infinite.
LEAST_PROBABILITY = 1e-7
COLUMNS = ["trial", "unfreeze_from", "learning_rate", "score", "val_loss", "val_accuracy", "trainable_parameters"]


def smooth_score(losses: Sequence[float]) -> float:
    """Return the lowest exponential moving average of a trial's validation losses.

    Args:
        losses: One an epoch, at least one.

    >>> round(smooth_score([0.4, 0.1, 0.5]), 3)
    0.25
    """
    average, best = losses[0], losses[0]
    for loss in losses[1:]:
        average += SMOOTHING * (loss - average)
        best = min(best, average)
    return best


def choose_best(scored: Sequence[Trial]) -> Trial:
    """Return the trial with the lowest score; a tie goes to fewer trainable parameters, then to the lower number.

    Args:
        scored: Trials that have a score.
    """
    return min(scored, key=lambda trial: (trial.score, trial.trainable_parameters, trial.trial))


def tabulate(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return one row for each trial that has a score, with its settings as columns."""
    scored = [trial for trial in trials if not trial.failed]
    settings = sorted({name for trial in scored for name in trial.settings} - set(COLUMNS))
    return pd.DataFrame([{**dict(trial), **trial.settings} for trial in scored], columns=[*COLUMNS, *settings])


def measure_gain(configured: np.ndarray, winner: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Gain]:
    """Return by how much the winner is better than the configured settings, on the same validation images.

    The winner was chosen on these images, so the estimate is optimistic.

    Args:
        configured: Probabilities, float array of shape (images, classes).
        winner: The same of the winner.
        labels: Class numbers, integer array of shape (images,).
        seed: Seed of the bootstrap.

    Returns:
        For `accuracy` and `log_loss` the mean gain and the bounds of its interval, from a paired bootstrap of
        the images (Efron and Tibshirani 1993).
    """
    # Imported lazily: scipy takes as long as the whole stage when the search is disabled.
    from scipy import stats

    images = np.arange(len(labels))
    losses = [-np.log(np.clip(part[images, labels], LEAST_PROBABILITY, 1)) for part in (configured, winner)]
    correct = [(part.argmax(axis=1) == labels).astype(float) for part in (configured, winner)]
    gains = {"accuracy": correct[1] - correct[0], "log_loss": losses[0] - losses[1]}
    result = {}
    for name, values in gains.items():
        interval = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        result[name] = Gain(mean=float(values.mean()), low=float(interval.low), high=float(interval.high))
    return result
