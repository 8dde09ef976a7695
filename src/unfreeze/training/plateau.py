"""The end of a training without a fixed length: lower rates from the best weights, until they bring nothing more."""

from typing import Any

import keras
import numpy as np

# A third would take half as many falls again to the same rate; a tenth skips rates that still help.
FACTOR = 0.2
FALLS = 2


class Plateau(keras.callbacks.Callback):
    """Lowers the rate from the best weights on where the validation loss no longer falls, and at last ends training.

    After `patience` epochs without a better validation loss the best weights come back. The rate falls to a fifth of
    itself, twice at most. Training ends at the lowest rate, or at a lowered one that brought no better loss. The best
    weights are those at the end. The weights from before training are none of them: deep layers get worse at first.

    Args:
        patience: Epochs without a better validation loss before the rate falls.
    """

    def __init__(self, patience: int) -> None:
        super().__init__()
        self._patience = patience
        self._best = np.inf
        self._kept: list[np.ndarray] = []
        self._falls = self._waited = 0
        self._has_helped = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Keep better weights; once none have come for long enough, lower the rate, or end."""
        assert logs is not None
        # Not a number is no better than anything.
        if logs["val_loss"] < self._best:
            self._best, self._kept, self._waited, self._has_helped = logs["val_loss"], self._read(), 0, True
            return
        self._waited += 1
        if self._waited < self._patience:
            return
        if self._falls == FALLS or not self._has_helped:
            self.model.stop_training = True
            return
        self._restore()
        rate = self.model.optimizer.learning_rate
        rate.assign(rate * FACTOR)
        self._falls, self._waited, self._has_helped = self._falls + 1, 0, False

    def on_train_end(self, logs: Any = None) -> None:
        """Set the best weights."""
        self._restore()

    def _read(self) -> list[np.ndarray]:
        return [weight.numpy() for weight in self.model.weights]

    def _restore(self) -> None:
        # Nothing is kept where no loss was a number.
        for weight, value in zip(self.model.weights if self._kept else (), self._kept, strict=True):
            weight.assign(value)
