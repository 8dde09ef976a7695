"""Training on several GPUs of one machine: which ones, and how a batch is divided among them."""

import os
from contextlib import AbstractContextManager, nullcontext
from math import ceil
from typing import Any

import keras
import tensorflow as tf

from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console

# Names devices in place of all visible GPUs, as in GPU:0,GPU:1.
VARIABLE = "UNFREEZE_DEVICES"


def use_all() -> AbstractContextManager[Any]:
    """Return the block in which models are built and trained: on all GPUs, if there are at least two.

    Raises:
        UnfreezeError: `UNFREEZE_DEVICES` names a device that TensorFlow does not see.
    """
    seen = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()]
    named = os.environ.get(VARIABLE)
    chosen = named.split(",") if named else [name for name in seen if name.startswith("GPU")]
    if unknown := sorted(set(chosen) - set(seen)):
        raise UnfreezeError(f"{VARIABLE}={named}: TensorFlow sees {', '.join(seen)}, not {', '.join(unknown)}")
    if len(chosen) < 2:
        return nullcontext()
    console.log.info("each batch is divided among %s", ", ".join(chosen))
    # Collective operations, the default, fail for a second strategy of the same process.
    strategy = tf.distribute.MirroredStrategy(chosen, tf.distribute.ReductionToOneDevice())
    scope: AbstractContextManager[Any] = strategy.scope()
    return scope


def count() -> int:
    """Return among how many devices this block divides a batch."""
    replicas: int = tf.distribute.get_strategy().num_replicas_in_sync
    return replicas


def fill_batches(batches: tf.data.Dataset, size: int) -> tf.data.Dataset:
    """Return batches that all devices get an equal, never empty part of.

    A batch that lacks rows is filled up with copies of its own, so that values stay in their range. Copies have a
    label of zeros, by which `Divided` leaves them out.

    Args:
        batches: Rows, labels as probabilities and sample weights.
        size: Rows of a full batch.
    """
    filled = ceil(size / count()) * count()

    def fill(rows: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        own = tf.shape(rows)[0]
        numbers = tf.range(filled) % own
        is_own = tf.cast(tf.range(filled) < own, labels.dtype)
        return tf.gather(rows, numbers), tf.gather(labels, numbers) * is_own[:, None], tf.gather(weights, numbers)

    options = tf.data.Options()
    # One process reads for all devices.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.map(fill).with_options(options)


class Divided(keras.Model):
    """A model on several devices, whose losses and gradients are those of the whole batch on one device.

    Keras' own step takes the mean of the devices' means, which counts images unequally where parts differ, and it
    can neither accumulate gradients nor run several steps a call there.

    Args:
        model: Built in the block of `use_all`.
        parts: Into how many pieces each device divides its part of a batch, one after the other, for want of memory.
    """

    def __init__(self, model: keras.Model, parts: int) -> None:
        super().__init__(name=f"divided_{model.name}")
        self.model = model
        self.parts = parts
        self._losses_seen = keras.metrics.Mean("loss")
        self._accuracy = keras.metrics.CategoricalAccuracy("accuracy")

    @property
    def metrics(self) -> list[keras.Metric]:
        """Loss and accuracy of the epoch so far, each image counted once."""
        return [self._losses_seen, self._accuracy]

    def compile(self, optimizer: keras.Optimizer, *_: Any, **__: Any) -> None:
        """Make it ready for training; loss and metrics are those of each model here."""
        super().compile(optimizer, jit_compile=False)
        optimizer.build(self.trainable_variables)

    def call(self, rows: Any, training: bool | None = None) -> Any:
        """Return the model's output."""
        return self.model(rows, training=training)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Change the weights by one device's part of a batch, together with all others."""
        rows, labels, _ = data
        images = tf.distribute.get_replica_context().all_reduce("SUM", tf.reduce_sum(_mark_own(labels)))
        variables = self.trainable_variables
        gradients: list[tf.Tensor] = []
        size = ceil(rows.shape[0] / self.parts)
        for start in range(0, rows.shape[0], size):
            piece = tuple(values[start : start + size] for values in data)
            # A piece waits for the one before, whose memory it needs.
            with tf.control_dependencies(gradients):
                with tf.GradientTape() as tape:
                    loss = tf.reduce_sum(self._measure(*piece, training=True)) / images
                found = tape.gradient(loss, variables)
            gradients = [one + other for one, other in zip(gradients, found, strict=True)] if gradients else found
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._read_metrics()

    def test_step(self, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Measure one device's part of a batch."""
        self._measure(*data, training=False)
        return self._read_metrics()

    def _measure(self, rows: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, *, training: bool) -> tf.Tensor:
        """Return the weighted loss of each row, 0 for copies, and add loss and accuracy to those of the epoch."""
        found = self(rows, training=training)
        own = _mark_own(labels)
        losses = keras.losses.categorical_crossentropy(labels, found) * weights * own
        self._losses_seen.update_state(losses, own)
        self._accuracy.update_state(labels, found, own)
        return losses

    def _read_metrics(self) -> dict[str, tf.Tensor]:
        return {metric.name: metric.result() for metric in self.metrics}

    def _maybe_symbolic_build(self, *_: Any, **__: Any) -> None:
        """Keep Keras from reading a batch in advance, which would use up the order of images of the first epoch."""


def _mark_own(labels: tf.Tensor) -> tf.Tensor:
    """Return 1 for each row of the batch itself and 0 for copies that fill it up."""
    return tf.cast(tf.reduce_max(labels, axis=1) > 0, labels.dtype)
