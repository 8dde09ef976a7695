from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.test_transfer import PHASE, make_transfer
from unfreeze.training.plateau import FACTOR, FALLS, Plateau


def train(rate: float, *, target: float, epochs: int, patience: int = 2) -> tuple[list[float], list[float], float]:
    """Move a weight from 1 to the target by gradient descent.

    Returns:
        The validation losses, the rate after each epoch, and the weight in the end.
    """
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile(keras.optimizers.SGD(rate), "mse")
    x, y = np.ones((1, 1), np.float32), np.full((1, 1), target, np.float32)
    rates: list[float] = []
    read = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: rates.append(float(model.optimizer.learning_rate)))
    fitted = model.fit(x, y, validation_data=(x, y), epochs=epochs, verbose=0, callbacks=[Plateau(patience), read])
    return fitted.history["val_loss"], rates, float(layer.kernel.numpy().item())


def test_a_rate_at_which_the_loss_rises_falls_and_training_goes_on_from_the_best_weights() -> None:
    losses, rates, weight = train(1.2, target=0, epochs=9)
    assert losses[:3] == sorted(losses[:3]), "each step goes too far"
    np.testing.assert_allclose(rates, [1.2, 1.2, *[1.2 * FACTOR] * 7], rtol=1e-6)
    assert losses[3] < losses[0], "not from where the later steps led"
    assert losses[3:] == sorted(losses[3:], reverse=True)
    assert weight**2 == pytest.approx(losses[-1])


def test_training_ends_when_a_lower_rate_brings_nothing() -> None:
    losses, rates, weight = train(0.1, target=1, epochs=50)
    assert losses == [0] * 5
    np.testing.assert_allclose(rates, [0.1, 0.1, *[0.1 * FACTOR] * 3], rtol=1e-6)
    assert weight == 1


def test_fine_tuning_ends_by_itself_at_the_best_weights_or_those_of_before(tmp_path: Path) -> None:
    made = make_transfer(tmp_path / "transfer", "block_16_expand")
    changes = {"schedule": "plateau", "patience": 2, "epochs": 60, "learning_rate": 2e-4}
    phase = PHASE.model_copy(update=changes)
    result = made.fine_tune("block_16_expand", phase)
    losses = result.history["val_loss"]
    assert len(losses) < 60
    best = losses.idxmin()
    assert len(losses) - 1 - best <= 2 * (FALLS + 1), "it does not go on for long without a better loss"
    assert result.improved == (result.val_loss == losses.min())
    probabilities, labels = made.predict_validation(), made.features.plan.val.labels
    # Validation weighs the classes, which are of the same size.
    assert -np.log(probabilities[np.arange(16), labels]).mean() == pytest.approx(result.val_loss, abs=1e-4)
