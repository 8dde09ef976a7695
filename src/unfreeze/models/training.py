"""Training on cached activations: first the head, then the head with the unfrozen layers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from unfreeze import console, files
from unfreeze.data import features as cache
from unfreeze.data import store
from unfreeze.data.features import Features
from unfreeze.models import graph
from unfreeze.models.backbones import Backbone, row_of
from unfreeze.models.engine import Engine
from unfreeze.models.heads import build_head
from unfreeze.params import Params, Phase, UnfreezePoint
from unfreeze.paths import Paths

CURVES = ["loss", "accuracy", "val_loss", "val_accuracy"]
# Layers at the start of a head that hold nothing to learn: they run once, with the backbone.
FIXED_LAYERS = (keras.layers.GlobalAveragePooling2D, keras.layers.Flatten)


def deterministic(seed: int) -> None:
    """Make everything that follows in this process the same from run to run."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


@dataclass(frozen=True)
class Result:
    """What a phase did.

    Args:
        history: One row an epoch: phase, epoch, loss, accuracy, val_loss, val_accuracy.
        trainable_parameters: How many parameters it could change.
        improved: Whether any epoch was better, in validation loss, than the weights it began with; if none
            was, and early stopping is on, those weights are back.
    """

    history: pd.DataFrame
    trainable_parameters: int
    improved: bool


class Transfer:
    """A backbone, its head and cached activations; both phases of training change the weights in place.

    Args:
        backbone: The backbone with its pretrained weights.
        head: From the backbone's output to probabilities.
        features: Cached activations of the training and the validation fold.
        class_weights: `balanced` lets classes count the same however many images they have.
        seed: Fixes the order of images and dropout, whatever ran before.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: keras.Model,
        features: Features,
        *,
        class_weights: Literal["balanced", "none"],
        seed: int,
    ) -> None:
        self.backbone = backbone
        self.head = head
        self.features = features
        self.seed = seed
        self.weights = _class_weights(features.train_labels, features.classes, class_weights)
        self._pretrained = backbone.base.get_weights()
        self._at: dict[int, Features] = {features.position: features}

    @classmethod
    def prepare(cls, params: Params, paths: Paths, name: str) -> "Transfer":
        """Load a backbone's weights and features and put a new head on it; the process becomes deterministic.

        Args:
            params: Needs `seed`, `head` and `train`.
            paths: Where weights, images and features lie.
            name: The backbone.
        """
        deterministic(params.seed)
        images = store.describe(paths.images)
        backbone = Backbone(row_of(name), images.size)
        backbone.base.load_weights(paths.weights(name))
        layers = params.head.layers.of(name)
        head = build_head(
            backbone.row.head if layers == "auto" else layers,
            features=backbone.feature_shape,
            classes=len(images.classes),
            output=params.head.output,
        )
        expected = {"images": images.digest, "weights": files.sha256(paths.weights(name))}
        cached = cache.read(paths.features(name), expected)
        return cls(backbone, head, cached, class_weights=params.train.class_weights, seed=params.seed)

    def train_head(self, phase: Phase) -> Result:
        """Train the head alone, on features that are computed once."""
        fixed = 1 if isinstance(self.head.operations[1], FIXED_LAYERS) else 0
        inputs = self.activations(self.backbone.end)
        if fixed:
            inputs = inputs.through(Engine(graph.segment(self.head, 0, fixed), kind="tensorflow", batch_size=64))
        tail = graph.segment(self.head, fixed, len(self.head.operations) - 1)
        return self._fit(tail, inputs, phase, "head")

    def fine_tune(self, point: UnfreezePoint, phase: Phase, *, label: str = "fine-tuning") -> Result:
        """Train the head and the backbone's layers from an unfreeze point on.

        BatchNorm layers of the backbone stay in inference mode: their statistics are the pretrained ones.
        """
        graph.freeze_below(self.backbone.base, self.backbone.first_trainable(point))
        cut = self.backbone.cut(point)
        model = _FineTuned(self.backbone.part(cut, self.backbone.end), self.head)
        return self._fit(model, self.activations(cut), phase, label)

    def activations(self, position: int) -> Features:
        """Return the features at a position at or after the stored one, computed with pretrained weights."""
        if position not in self._at:
            start = max(known for known in self._at if known <= position)
            trained = self.backbone.base.get_weights()
            self.backbone.base.set_weights(self._pretrained)
            engine = Engine(self.backbone.part(start, position), batch_size=16)
            self._at[position] = self._at[start].through(engine, position=position)
            self.backbone.base.set_weights(trained)
        return self._at[position]

    def restore(self, head: keras.Model) -> None:
        """Go back to the pretrained backbone, with a copy of a head."""
        keras.utils.set_random_seed(self.seed)
        self.backbone.base.set_weights(self._pretrained)
        self.head = keras.models.clone_model(head)
        self.head.set_weights(head.get_weights())

    def _fit(self, model: keras.Model, features: Features, phase: Phase, label: str) -> Result:
        if not phase.epochs:
            return Result(pd.DataFrame(columns=["phase", "epoch", *CURVES]), 0, False)
        keras.utils.set_random_seed(self.seed)
        steps = phase.epochs * math.ceil(len(features.train) / phase.batch_size)
        optimizer = keras.optimizers.get(phase.optimizer)
        optimizer.learning_rate = (
            keras.optimizers.schedules.CosineDecay(phase.learning_rate, steps)
            if phase.schedule == "cosine"
            else phase.learning_rate
        )
        model.compile(
            optimizer, keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"], jit_compile=False
        )
        train = _batches(features.train, features.train_labels, phase.batch_size, self.weights, self.seed)
        val = _batches(features.val, features.val_labels, max(phase.batch_size, 64), self.weights)
        began_with = model.get_weights()
        began_at = model.evaluate(val, verbose=0)[0]
        name = f"{self.backbone.row.name} {label}"
        with console.progress(f"training {name}", phase.epochs) as advance:
            callbacks: list[keras.callbacks.Callback] = [_Progress(advance)]
            if phase.patience is not None:
                callbacks.append(
                    keras.callbacks.EarlyStopping("val_loss", patience=phase.patience, restore_best_weights=True)
                )
            fitted = model.fit(
                train, validation_data=val, epochs=phase.epochs, verbose=0, callbacks=callbacks, shuffle=False
            )
        history = pd.DataFrame(fitted.history, columns=CURVES).rename_axis("epoch").reset_index()
        history.insert(0, "phase", label)
        improved = bool(history["val_loss"].min() < began_at)
        if not improved and phase.patience is not None:
            console.log.info("%s did not improve on %.4f: the weights from before it are kept", name, began_at)
            model.set_weights(began_with)
        return Result(history, graph.trainable_parameters(model), improved)


class _FineTuned(keras.Model):
    """The trained part of the backbone in inference mode, under a head in training mode.

    Keras 3 hands the `training=True` of `fit` to every layer of a functional model, over a `training=False`
    given when the model was built, and BatchNorm would then replace the pretrained statistics.
    """

    def __init__(self, suffix: keras.Model, head: keras.Model) -> None:
        super().__init__(name="fine_tuned")
        self.suffix = suffix
        self.head = head

    def call(self, activations: Any, training: bool | None = None) -> Any:
        return self.head(self.suffix(activations, training=False), training=training)


class _Progress(keras.callbacks.Callback):
    def __init__(self, advance: console.Advance) -> None:
        super().__init__()
        self.advance = advance

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.advance(note=f"validation loss {logs['val_loss']:.4f}, accuracy {logs['val_accuracy']:.4f}")


def _batches(
    rows: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    class_weights: Sequence[float],
    seed: int | None = None,
) -> tf.data.Dataset:
    """Feed rows from memory without Python in the loop; with a seed, in a new order each epoch."""
    inputs, targets = tf.constant(rows), tf.constant(labels)
    weights = tf.gather(tf.constant(class_weights, tf.float32), targets)
    order = tf.data.Dataset.range(len(labels))
    if seed is not None:
        order = order.shuffle(len(labels), seed=seed, reshuffle_each_iteration=True)
    dtype = inputs.dtype if inputs.dtype == tf.uint8 else tf.float32
    return (
        order.batch(batch_size)
        .map(
            lambda index: (
                tf.cast(tf.gather(inputs, index), dtype),
                tf.gather(targets, index),
                tf.gather(weights, index),
            ),
        )
        .prefetch(2)
    )


def _class_weights(labels: np.ndarray, classes: int, kind: str) -> list[float]:
    """Return a weight a class; `balanced` is n / (classes * images of the class), as in scikit-learn."""
    if kind == "none":
        return [1.0] * classes
    counts = np.bincount(labels, minlength=classes)
    return [float(len(labels) / (classes * count)) if count else 0.0 for count in counts]
