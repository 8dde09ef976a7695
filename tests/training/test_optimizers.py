from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_transfer import PHASE
from unfreeze.training.optimizers import build_optimizer


def step(phase: object, depths: list[int], gradients: list[float]) -> list[float]:
    """Change variables of value 1 once and return them."""
    variables = [keras.Variable(1.0, name=name) for name in ("kernel", "bias")]
    optimizer = build_optimizer(phase, steps=1, depths=depths)
    optimizer.build(variables)
    optimizer.apply(gradients, variables)
    return [float(variable) for variable in variables]


SGD = PHASE.model_copy(update={"optimizer": "sgd", "learning_rate": 0.1})


def test_the_rate_falls_from_block_to_block() -> None:
    changed = step(SGD.model_copy(update={"layer_decay": 0.5}), [0, 2], [1.0, 1.0])
    np.testing.assert_allclose(changed, [1 - 0.1, 1 - 0.1 * 0.25], rtol=1e-6)


def test_kernels_decay_and_biases_do_not() -> None:
    changed = step(SGD.model_copy(update={"weight_decay": 0.5}), [0, 0], [0.0, 0.0])
    np.testing.assert_allclose(changed, [1 - 0.1 * 0.5, 1.0], rtol=1e-6)


def test_the_decay_falls_from_block_to_block_with_the_rate() -> None:
    phase = SGD.model_copy(update={"weight_decay": 0.5, "layer_decay": 0.5})
    variables = [keras.Variable(1.0, name="kernel"), keras.Variable(1.0, name="kernel")]
    optimizer = build_optimizer(phase, steps=1, depths=[0, 2])
    optimizer.build(variables)
    optimizer.apply([0.0, 0.0], variables)
    np.testing.assert_allclose(
        [float(variable) for variable in variables], [1 - 0.1 * 0.5, 1 - 0.1 * 0.5 * 0.25], rtol=1e-6
    )


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_the_schedule_ends_with_the_last_batch_however_many_make_a_step(accumulate: int) -> None:
    phase = SGD.model_copy(update={"schedule": "cosine", "epochs": 2})
    optimizer = build_optimizer(phase, steps=4 * accumulate, depths=[0], accumulate=accumulate)
    variable = keras.Variable(1.0)
    rates = []
    for _ in range(2 * 4 * accumulate):
        optimizer.apply([1.0], [variable])
        rates.append(float(optimizer.learning_rate))
    assert rates[4 * accumulate - 1] == pytest.approx(0.05)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_rate_rises_before_the_schedule_begins(schedule: str) -> None:
    phase = SGD.model_copy(update={"schedule": schedule, "epochs": 5, "warmup": 0.2})
    optimizer = build_optimizer(phase, steps=4, depths=[0])
    variable = keras.Variable(1.0)
    optimizer.build([variable])
    rates = []
    for _ in range(20):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([1.0], [variable])
    np.testing.assert_allclose(rates[:5], [0, 0.025, 0.05, 0.075, 0.1], rtol=1e-5)
    fading = 0.05 * (1 + np.cos(np.pi * np.arange(16) / 16))
    np.testing.assert_allclose(rates[4:], fading if schedule == "cosine" else [0.1] * 16, rtol=1e-5)


def stepping(optimizer: keras.Optimizer, variable: keras.Variable) -> Callable[[tf.Tensor], None]:
    return lambda gradient: optimizer.apply([gradient], [variable])


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(("weight_decay", "accumulate"), [(0.0, 1), (0.1, 1), (0.1, 2)])
def test_adam_is_the_one_of_keras(weight_decay: float, accumulate: int, traced: bool) -> None:
    phase = PHASE.model_copy(
        update={"optimizer": "adam", "schedule": "cosine", "learning_rate": 0.01, "weight_decay": weight_decay}
    )
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(5, 3)), random.normal(size=(6, 5, 3))
    ours = build_optimizer(phase, steps=3, depths=[0], accumulate=accumulate)
    falling = keras.optimizers.schedules.CosineDecay(0.01, phase.epochs * 3)
    theirs = keras.optimizers.Adam(
        falling,
        weight_decay=weight_decay or None,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
    )
    variables = [keras.Variable(start, dtype="float32", name="kernel") for _ in range(2)]
    for optimizer, variable in zip((ours, theirs), variables, strict=True):
        optimizer.build([variable])
        change = stepping(optimizer, variable)
        change = tf.function(change) if traced else change
        for gradient in gradients:
            change(tf.constant(gradient, tf.float32))
    np.testing.assert_allclose(variables[0].numpy(), variables[1].numpy(), atol=1e-6)
    assert len(ours.variables) == len(theirs.variables)
    for before, after in zip(theirs.variables, ours.variables, strict=True):
        np.testing.assert_allclose(after.numpy(), before.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop", "adagrad"])
def test_every_optimizer_takes_every_setting(name: str) -> None:
    phase = PHASE.model_copy(
        update={"optimizer": name, "weight_decay": 0.01, "layer_decay": 0.5, "schedule": "cosine"}
    )
    kernel, bias = step(phase, [0, 1], [1.0, 1.0])
    assert kernel < bias < 1
