"""Optimizers for a phase of training."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from unfreeze.settings.training import Phase
from unfreeze.training.cycles import Restarts

# Scales and shifts are not decayed, only kernels (Loshchilov and Hutter 2019).
NOT_DECAYED = ["bias", "gamma", "beta"]


class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam that updates each variable in one pass over its memory, by TensorFlow's fused operation.

    Keras' own takes ten passes, a tenth of a step for the 15 million parameters of ResNet50's last block. The formula
    is the same: section 2 of Kingma and Ba 2015, arXiv:1412.6980, with epsilon outside the bias correction.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its moments."""
        number = self._get_variable_index(variable)
        steps = keras.ops.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=self.beta_1**steps,
            beta2_power=self.beta_2**steps,
            lr=keras.ops.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=keras.ops.cast(gradient, variable.dtype),
        )


def build_optimizer(phase: Phase, *, steps: int, depths: Sequence[int], accumulate: int = 1) -> keras.Optimizer:
    """Build the optimizer of a phase.

    Args:
        phase: Its name, rate, schedule, warm-up, weight decay and layer decay.
        steps: Batches in an epoch.
        depths: For each trainable variable the number of blocks it lies below the head; 0 in the head.
        accumulate: Batches whose gradients are averaged for one change of the weights.

    Returns:
        The optimizer; with weight decay Adam is AdamW. With a layer decay d the rate of a variable at depth n is that
        of the head times d to the power of n, and so is its weight decay (discriminative fine-tuning: Howard and
        Ruder 2018, arXiv:1801.06146).
    """
    kind: Any = type(keras.optimizers.get(phase.optimizer))
    if kind is keras.optimizers.Adam:
        kind = FusedAdam
    if phase.layer_decay < 1:
        kind = _add_layer_decay(kind, [phase.layer_decay**depth for depth in depths])
    optimizer = kind(
        learning_rate=_build_rate(phase, steps),
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        weight_decay=phase.weight_decay or None,
    )
    if phase.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


def _build_rate(phase: Phase, steps_per_epoch: int) -> Any:
    """Return the learning rate of a phase: a number, or a schedule."""
    schedules, rate = keras.optimizers.schedules, phase.learning_rate
    steps = phase.epochs * steps_per_epoch
    rising = round(phase.warmup * steps)
    if phase.schedule == "restarts":
        return Restarts(rate, phase.epochs, steps_per_epoch)
    if phase.schedule == "cosine" and not rising:
        return schedules.CosineDecay(rate, steps)
    if phase.schedule == "cosine":
        return schedules.CosineDecay(0.0, steps - rising, warmup_target=rate, warmup_steps=rising)
    return schedules.PolynomialDecay(0.0, rising, end_learning_rate=rate) if rising else rate


def _add_layer_decay(kind: Any, factors: Sequence[float]) -> Any:
    class WithLayerDecay(kind):
        weight_decay: float | None

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * factors[self._get_variable_index(variable)])

        def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
            whole = self.weight_decay
            if whole is None:
                return
            for variable in variables:
                # Keras multiplies it by the one learning rate, so the factor of the variable goes in here.
                self.weight_decay = whole * factors[self._get_variable_index(variable)]
                super()._apply_weight_decay([variable])
            self.weight_decay = whole

    return WithLayerDecay
