"""Training without a fixed length: cosine cycles, each twice as long as the one before, until one brings nothing."""

from itertools import accumulate
from typing import Any

import keras

# Epochs of the first cycle: the default study's Xception is best after three.
FIRST_CYCLE = 4


def list_cycles(epochs: int) -> list[int]:
    """Return the epochs of each cycle, at most so many together; the last one is no shorter than the one before.

    Args:
        epochs: Most epochs of the training.

    >>> list_cycles(30), list_cycles(9), list_cycles(7), list_cycles(2)
    ([4, 8, 18], [4, 5], [7], [2])
    """
    cycles, length = [], FIRST_CYCLE
    while epochs:
        taken = length if epochs - length >= length else epochs
        cycles.append(taken)
        epochs -= taken
        length *= 2
    return cycles


class Restarts(keras.optimizers.schedules.LearningRateSchedule):
    """In each cycle the rate falls to 0 along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983).

    Args:
        rate: At the start of each cycle.
        epochs: Most epochs of the training.
        steps: Steps of an epoch.
    """

    def __init__(self, rate: float, epochs: int, steps: int) -> None:
        super().__init__()
        self._rate, self._epochs, self._steps = rate, epochs, steps
        self._cycles = [cycle * steps for cycle in list_cycles(epochs)]
        self._ends = list(accumulate(self._cycles))

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step."""
        step = keras.ops.cast(step, "float32")
        rate = keras.ops.cast(0.0, "float32")
        # From the last cycle back: the first one that has not ended decides.
        for length, end in reversed(list(zip(self._cycles, self._ends, strict=True))):
            done = (step - (end - length)) / length
            falling = 0.5 * self._rate * (1 + keras.ops.cos(done * 3.14159265))
            rate = keras.ops.where(step < end, falling, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"rate": self._rate, "epochs": self._epochs, "steps": self._steps}


class EndOfCycle(keras.callbacks.Callback):
    """Ends training with a cycle whose last epochs brought no better validation loss.

    Inside a cycle the loss may rise: each begins at the full rate.

    Args:
        epochs: Most epochs of the training.
        patience: How many epochs at the end of a cycle.
    """

    def __init__(self, epochs: int, patience: int) -> None:
        super().__init__()
        self._ends = set(accumulate(list_cycles(epochs)))
        self._patience = patience
        self._best = float("inf")
        self._waited = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Count epochs since the best one, and end training at the end of a cycle."""
        assert logs is not None
        self._waited += 1
        if logs["val_loss"] < self._best:
            self._best, self._waited = logs["val_loss"], 0
        if epoch + 1 in self._ends and self._waited >= self._patience:
            self.model.stop_training = True
