from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.test_transfer import PHASE, make_transfer
from unfreeze.training.cycles import EndOfCycle, Restarts, list_cycles
from unfreeze.training.optimizers import build_optimizer


@pytest.mark.parametrize("epochs", range(65))
def test_cycles_fill_the_epochs_and_none_is_shorter_than_the_one_before(epochs: int) -> None:
    cycles = list_cycles(epochs)
    assert sum(cycles) == epochs
    assert cycles == sorted(cycles)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_in_each_cycle_the_rate_falls_from_the_full_one_to_0(accumulate: int) -> None:
    phase = PHASE.model_copy(
        update={"optimizer": "sgd", "learning_rate": 0.1, "schedule": "restarts", "patience": 1, "epochs": 12}
    )
    optimizer = build_optimizer(phase, steps=5 * accumulate, depths=[0], accumulate=accumulate)
    variable = keras.Variable(1.0)
    rates = []
    for _ in range(12 * 5 * accumulate):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([1.0], [variable])
    first, second = rates[: 20 * accumulate], rates[20 * accumulate :]
    for cycle in (first, second):
        assert cycle[0] == pytest.approx(0.1)
        assert cycle[len(cycle) // 2] == pytest.approx(0.05, rel=1e-3)
        assert cycle[-1] < 0.003
        assert cycle == sorted(cycle, reverse=True)
    assert Restarts.from_config(Restarts(0.1, 12, 5).get_config())(7) == Restarts(0.1, 12, 5)(7)


def count_epochs(losses: list[float], patience: int) -> int:
    """Return how many epochs of a training are run whose validation losses are these."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ends = EndOfCycle(len(losses), patience)
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=losses[epoch]))
    x = np.ones((1, 1), np.float32)
    return len(model.fit(x, x, epochs=len(losses), verbose=0, callbacks=[told, ends]).epoch)


FALLING = [1 / (epoch + 1) for epoch in range(28)]


def test_training_goes_on_while_cycles_end_at_their_best() -> None:
    assert count_epochs(FALLING, 1) == 28
    assert count_epochs([*FALLING[:3], 0.9, *FALLING[4:]], 1) == 4
    assert count_epochs([*FALLING[:3], 0.9, *FALLING[4:]], 2) == 28


def test_a_loss_that_rises_inside_a_cycle_ends_nothing() -> None:
    assert count_epochs([*FALLING[:4], 0.9, 0.8, 0.9, 0.9, *FALLING[8:]], 1) == 28
    assert count_epochs([*FALLING[:4], *[0.9] * 24], 1) == 12, "the second cycle brought nothing"


def test_fine_tuning_ends_by_itself_at_the_best_weights_or_those_of_before(tmp_path: Path) -> None:
    made = make_transfer(tmp_path / "transfer", "block_16_expand")
    changes = {"schedule": "restarts", "patience": 1, "epochs": 28, "learning_rate": 2e-4}
    result = made.fine_tune("block_16_expand", PHASE.model_copy(update=changes))
    losses = result.history["val_loss"]
    assert len(losses) in (4, 12, 28)
    assert result.improved == (result.val_loss == losses.min())
    probabilities, labels = made.predict_validation(), made.features.plan.val.labels
    # Validation weighs the classes, which are of the same size.
    assert -np.log(probabilities[np.arange(16), labels]).mean() == pytest.approx(result.val_loss, abs=1e-4)
