"""One training of one model: early stopping, going on from a state, and the weights of before."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from unfreeze.evaluation import calibration
from unfreeze.models import graph
from unfreeze.runtime import console
from unfreeze.settings.training import Phase
from unfreeze.training import memory
from unfreeze.training.cycles import EndOfCycle
from unfreeze.training.history import CURVES

# A step of the head takes less time than Python between two steps. Not more at once: while TensorFlow runs them,
# Python handles no interrupt.
STEPS_A_CALL = 50


@dataclass(frozen=True)
class Result:
    """The outcome of a phase.

    Args:
        history: One row an epoch: phase, epoch, loss, accuracy, val_loss, val_accuracy.
        trainable_parameters: Number of parameters that the phase could change.
        improved: Whether any epoch had a lower validation loss than the weights from before, or, with early stopping,
            the best one had a lower loss after its temperature; if not, and early stopping is on, those weights are
            back.
        val_loss: Validation loss of the final weights; None if there was no epoch.
    """

    history: pd.DataFrame
    trainable_parameters: int
    improved: bool
    val_loss: float | None


@dataclass(frozen=True)
class State:
    """Where a training stopped.

    Args:
        epochs: Epochs that are done.
        parts: Steps that each batch was divided into for want of memory.
        variables: Values of the weights, then of the optimizer's variables, then of the other weights of a moving
            average.
    """

    epochs: int
    parts: int
    variables: list[np.ndarray]


class Fitting:
    """A compiled model with its rows, and its weights as they were before.

    Args:
        model: Its weights change in place.
        optimizer: Made for this training.
        train: Batches of rows, labels as probabilities and sample weights, in a new order each epoch.
        val: The same of the validation fold, in order.
        labels: Class numbers of the validation fold, in the same order.
        weights: One weight a class.
        parts: Steps that each batch is divided into; the optimizer accumulates their gradients.
        average: Epochs over which a moving average of the weights forgets; 0 for none.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.Optimizer,
        train: tf.data.Dataset,
        val: tf.data.Dataset,
        *,
        labels: np.ndarray,
        weights: Sequence[float],
        parts: int,
        average: float = 0.0,
    ) -> None:
        self._average = MovingAverage(model, steps=average * len(train)) if average else None
        model.compile(
            optimizer,
            keras.losses.CategoricalCrossentropy(),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=False,
            # Weights are averaged between two calls.
            steps_per_execution=1 if average else min(len(train), STEPS_A_CALL),
        )
        self._model: keras.Model | None = model
        self._train: tf.data.Dataset | None = train
        self._val: tf.data.Dataset | None = val
        self._labels, self._weights = labels, np.asarray(weights)[labels]
        self._parts = parts
        self._epochs = 0
        self._before = [(weight, weight.numpy()) for weight in model.weights]

    def run(
        self,
        phase: Phase,
        name: str,
        label: str,
        *,
        until: int | None,
        state: State | None,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> Result:
        """Train until the phase, `until` or patience is over; weights that did not improve are set back.

        Args:
            phase: Epochs and patience.
            name: What is trained, for the log.
            label: The phase's name in the history.
            until: The epoch after which to stop; the phase's last by default.
            state: Where an earlier training stopped, to go on from there.
            callbacks: Further callbacks for Keras.
        """
        model = self.model
        began_at = model.evaluate(self._val, verbose=0)[0]
        if state is not None:
            self._load(state)
        first, last = (state.epochs if state else 0), until or phase.epochs
        with console.progress(f"training {name}", last - first) as advance:
            fitted = model.fit(
                self._train,
                validation_data=self._val,
                initial_epoch=first,
                epochs=last,
                verbose=0,
                callbacks=_build_callbacks(phase, advance, [*([self._average] if self._average else []), *callbacks]),
                shuffle=False,
            )
        self._epochs = first + len(fitted.epoch)
        history = pd.DataFrame(fitted.history, columns=CURVES, index=fitted.epoch).rename_axis("epoch").reset_index()
        history.insert(0, "phase", label)
        improved, val_loss = self._keep_better(history["val_loss"], began_at, phase, name)
        return Result(history, graph.count_trainable_parameters(model), improved, val_loss)

    @property
    def model(self) -> keras.Model:
        """The model, until it is released."""
        assert self._model is not None
        return self._model

    def predict_validation(self) -> np.ndarray:
        """Return the model's probabilities of the validation images, float32 of shape (images, classes)."""
        probabilities: np.ndarray = self.model.predict(self._val, verbose=0)
        return probabilities

    def read_state(self) -> State:
        """Return where the training stopped."""
        return State(self._epochs, self._parts, [variable.numpy() for variable in self._list_variables()])

    def undo(self) -> None:
        """Set the weights back to those from before; possible after `release`, too."""
        for weight, value in self._before:
            weight.assign(value)

    def release(self) -> None:
        """Drop the model, its optimizer and its rows; the layers' trained weights stay in the layers."""
        self._model = self._train = self._val = self._average = None

    def _keep_better(self, losses: pd.Series, began_at: float, phase: Phase, name: str) -> tuple[bool, float]:
        """Return whether an epoch improved on the weights of before, and the validation loss of those kept.

        What has a higher loss may still be the better one after the temperature that all models get: label smoothing
        and MixUp make a model less sure of itself.
        """
        improved = bool(losses.min() < began_at)
        if phase.patience is None:
            return improved, float(losses.iloc[-1])
        if not improved:
            trained, loss = [weight.numpy() for weight, _ in self._before], self.measure_calibrated_loss()
            self.undo()
            before = self.measure_calibrated_loss()
            improved = loss < before
            if improved:
                for (weight, _), value in zip(self._before, trained, strict=True):
                    weight.assign(value)
                console.log.info("%s: loss %.4f after a temperature, %.4f before training", name, loss, before)
        if improved:
            return True, float(losses.min())
        console.log.info("%s did not improve on %.4f: the weights from before it are kept", name, began_at)
        return False, began_at

    def measure_calibrated_loss(self) -> float:
        """Return the validation loss at the temperature that suits the validation fold best."""
        probabilities = self.predict_validation()[: len(self._labels)].astype("float64")
        return calibration.measure_calibrated_loss(self._labels, probabilities, self._weights)

    def _load(self, state: State) -> None:
        self.model.optimizer.build(self.model.trainable_variables)
        for variable, value in zip(self._list_variables(), state.variables, strict=True):
            variable.assign(value)

    def _list_variables(self) -> list[Any]:
        averaged = self._average.others if self._average else []
        return [*self.model.weights, *self.model.optimizer.variables, *averaged]


class MovingAverage(keras.callbacks.Callback):
    """Average the weights over the last steps, and have the average validated and kept.

    Between epochs and after the last one the model holds the average, and this the weights that training goes on
    from; they change places at the begin and at the end of an epoch's training.

    Args:
        network: The model; its trainable weights are averaged.
        steps: After so many steps 1/e of an older weight is left.
    """

    def __init__(self, network: keras.Model, *, steps: float) -> None:
        super().__init__()
        self._averaged = network.trainable_variables
        self._left = math.exp(-1 / steps)
        self.others = [tf.Variable(weight.value, trainable=False) for weight in self._averaged]
        self._update, self._swap = tf.function(self._add), tf.function(self._exchange)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take the weights that training goes on from."""
        self._swap()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Add the weights after a step."""
        self._update()

    def on_test_begin(self, logs: Any = None) -> None:
        """Take the average, before the epoch is validated."""
        self._swap()

    def _add(self) -> None:
        for average, weight in zip(self.others, self._averaged, strict=True):
            average.assign_sub((1 - self._left) * (average - weight.value))

    def _exchange(self) -> None:
        for other, weight in zip(self.others, self._averaged, strict=True):
            value = tf.identity(weight.value)
            weight.assign(other)
            other.assign(value)


class _Progress(keras.callbacks.Callback):
    def __init__(self, advance: console.Advance) -> None:
        super().__init__()
        self.advance = advance

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.advance(note=f"validation loss {logs['val_loss']:.4f}, accuracy {logs['val_accuracy']:.4f}")


def _build_callbacks(
    phase: Phase, advance: console.Advance, further: Sequence[keras.callbacks.Callback]
) -> list[keras.callbacks.Callback]:
    callbacks = [
        _Progress(advance),
        keras.callbacks.TerminateOnNaN(),
        # Each epoch has threads of its own, and the memory of those holds the rows that wait to be shuffled.
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: memory.trim()),
        *further,
    ]
    if phase.patience is not None:
        patience = phase.patience
        if phase.schedule == "restarts":
            callbacks.append(EndOfCycle(phase.epochs, patience))
            # It only brings the best weights back.
            patience = phase.epochs
        callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True))
    return callbacks
