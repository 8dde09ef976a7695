"""Which weights a training ends with."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_transfer import PHASE
from unfreeze.training.fitting import Fitting, Result

PLACES = np.float32([[-2.0], [-1.0], [1.0], [2.0]])
LABELS = np.array([0, 0, 1, 1])


def fit(bias: float, *, smoothing: float) -> tuple[Result, np.ndarray]:
    """Train a line to divide four places, from one that divides them at another place; return what it says then."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
    model.set_weights([np.float32([[-2, 2]]), np.float32([-bias, bias])])
    targets = np.eye(2)[LABELS] * (1 - smoothing) + smoothing / 2
    train, val = (
        tf.data.Dataset.from_tensor_slices((PLACES, wanted.astype("float32"), np.ones(4, np.float32))).batch(4)
        for wanted in (targets, np.eye(2)[LABELS])
    )
    fitting = Fitting(
        model, keras.optimizers.Adam(0.05), train.repeat(100), val, labels=LABELS, weights=[1.0, 1.0], parts=1
    )
    phase = PHASE.model_copy(update={"epochs": 1, "patience": 1})
    result = fitting.run(phase, "x", "x", until=None, state=None, callbacks=[])
    return result, fitting.predict_validation()


def test_what_is_right_but_less_sure_is_better_once_it_has_its_temperature() -> None:
    # One of four places is wrong before, by little; after it all are right, with probabilities of 0.7.
    result, said = fit(2.05, smoothing=0.6)
    assert said.argmax(axis=1).tolist() == LABELS.tolist()
    assert result.improved
    assert result.val_loss == pytest.approx(-np.log(said[np.arange(4), LABELS]).mean(), abs=1e-4)


def test_what_is_less_sure_and_no_better_is_undone() -> None:
    result, said = fit(0.0, smoothing=0.6)
    assert not result.improved
    assert said[0, 0] > 0.99, "the weights of before"
