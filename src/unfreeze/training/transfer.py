"""Training on cached activations: first the head, then the head with the unfrozen layers."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.features import cache
from unfreeze.features.cache import Features
from unfreeze.images import store
from unfreeze.images.augment import Views
from unfreeze.models import graph
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import engine_of, use_precision
from unfreeze.models.table import row_of
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.base import PixelScaling
from unfreeze.settings.training import Head, Phase, Train, UnfreezePoint
from unfreeze.training import feed, memory, pointwise
from unfreeze.training.feed import Computed, Source
from unfreeze.training.heads import build_head, with_dropout
from unfreeze.training.history import CURVES
from unfreeze.training.optimizers import build_optimizer

# A step of the head takes less time than Python between two steps. Not more at once: while TensorFlow is at it,
# Python hears no interrupt.
STEPS_A_CALL = 50
# Layers at the start of a head that hold nothing to learn: they run once, with the backbone.
FIXED_LAYERS = (keras.layers.GlobalAveragePooling2D, keras.layers.Flatten)
OUT_OF_MEMORY = (tf.errors.ResourceExhaustedError, MemoryError)


def deterministic(seed: int) -> None:
    """Make everything that follows in this process the same from run to run."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


@dataclass(frozen=True)
class TransferSettings:
    """The parameters that `Transfer.prepared` uses.

    Args:
        seed: Seed of the head's initial weights, of the order of images and of dropout.
        pixels: How pixels are scaled for the backbone.
        head: Layers and output of the head.
        train: Class weights and precision; the phases are given to `train_head` and `fine_tune`.
    """

    seed: int
    pixels: PixelScaling
    head: Head
    train: Train


@dataclass(frozen=True)
class Result:
    """What a phase did.

    Args:
        history: One row an epoch: phase, epoch, loss, accuracy, val_loss, val_accuracy.
        trainable_parameters: How many parameters it could change.
        improved: Whether any epoch was better, in validation loss, than the weights it began with; if none
            was, and early stopping is on, those weights are back.
        val_loss: Validation loss of the weights that are left; None if there was no epoch.
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
        variables: Values of the weights, then of the optimizer's variables.
    """

    epochs: int
    parts: int
    variables: list[np.ndarray]


@dataclass(frozen=True)
class Folds:
    """Rows of both folds that training may see, at one position of the backbone."""

    position: int
    train: Source
    val: Source


class Transfer:
    """A backbone, its head and cached activations; both phases of training change the weights in place.

    Activations behind the cached ones are derived from them once and kept in a folder while they are needed.

    Args:
        backbone: The backbone with its pretrained weights.
        head: From the backbone's output to probabilities.
        features: Cached activations of the training and the validation fold.
        images: The image store, for what is not cached.
        folder: Where derived activations are kept; a folder of its own.
        train: Class weights and arithmetic.
        max_gb: Most room that derived activations may take together, GB.
        seed: Fixes the order of images and dropout, whatever ran before.
    """

    def __init__(
        self,
        backbone: Backbone,
        head: keras.Model,
        features: Features,
        *,
        images: Path,
        folder: Path,
        train: Train,
        max_gb: float,
        seed: int,
    ) -> None:
        self.backbone = backbone
        self.head = head
        self.features = features
        self.seed = seed
        self.train = train
        self.weights = _class_weights(features.plan.train, features.plan.classes, train.class_weights)
        self.max_gb = max_gb
        self._images = images
        self._folder = folder
        self._known: dict[str, Folds] = {}
        # What the last phase trained, as it was before: the one copy of weights that is kept.
        self._before: list[tuple[keras.Variable, np.ndarray]] = []
        self._tuned = False
        self._fitted: keras.Model | None = None
        self._val: tf.data.Dataset | None = None
        self._epochs = 0
        self._parts = 1

    @property
    def free_gb(self) -> float:
        """Room that derived activations leave of `max_gb`, GB."""
        return self.max_gb - sum(file.stat().st_size for file in self._folder.glob("*")) / 1e9

    @classmethod
    @contextmanager
    def prepared(
        cls, settings: TransferSettings, paths: Paths, name: str, *, max_gb: float | None = None, worker: str = ""
    ) -> Iterator["Transfer"]:
        """Load a backbone's weights and features and put a new head on it; the process becomes deterministic.

        Args:
            settings: Seed, scaling of pixels, head, class weights and precision.
            paths: Where weights, images and features lie.
            name: The backbone.
            max_gb: Most room that derived activations may take together, GB; that of the cached ones by default.
            worker: Tells processes apart that do this at the same time.

        Yields:
            The transfer; activations derived for it are removed when the block ends.
        """
        deterministic(settings.seed)
        images = store.describe(paths.images)
        backbone = Backbone(row_of(name), images.size, settings.pixels)
        backbone.base.load_weights(paths.weights(name))
        layers = settings.head.layers.of(name)
        head = build_head(
            backbone.row.head if layers == "auto" else layers,
            features=backbone.feature_shape,
            classes=len(images.classes),
            output=settings.head.output,
        )
        expected = {
            "images": images.digest,
            "weights": files.sha256(paths.weights(name)),
            "pixels": settings.pixels,
        }
        cached = cache.read(paths.features(name), expected)
        with files.scratch(paths.derived_features(name, worker)) as folder:
            yield cls(
                backbone,
                head,
                cached,
                images=paths.images,
                folder=folder,
                train=settings.train,
                max_gb=max_gb or cached.plan.settings.extract.max_gb,
                seed=settings.seed,
            )

    def train_head(self, phase: Phase) -> Result:
        """Train the head alone, on features that are computed once."""
        self._change_dropout(phase)
        fixed = 1 if isinstance(self.head.operations[1], FIXED_LAYERS) else 0
        cached, end = self._cached, self.backbone.end
        part = self.backbone.part(cached.position, end)
        if fixed:
            part = keras.Model(part.input, graph.segment(self.head, 0, fixed)(part.output))
        folds = self._derived(f"head_{fixed}", part, end)
        if folds is None:
            self.backbone.base.trainable = False
            model = FineTuned(self.backbone.part(cached.position, end), self.head)
            return self._fit(model, cached, phase, "head")
        return self._fit(graph.segment(self.head, fixed, len(self.head.operations) - 1), folds, phase, "head")

    def fine_tune(
        self,
        point: UnfreezePoint,
        phase: Phase,
        *,
        label: str = "fine-tuning",
        until: int | None = None,
        state: State | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> Result:
        """Train the head and the backbone's layers from an unfreeze point on.

        BatchNorm layers of the backbone stay in inference mode: their statistics are the pretrained ones. Where
        memory does not suffice, batches are halved and gradients accumulated over the halves.

        Args:
            point: The unfreeze point.
            phase: How to train.
            label: What this training is called in the log and in its history.
            until: The epoch after which to stop; the schedule is that of all epochs of the phase.
            state: Where an earlier training of the same point and phase stopped, to go on from there. It fits the
                batches it was made with: these are not halved.
            callbacks: What else Keras calls.

        Raises:
            RuntimeError: The backbone was fine-tuned before; `restore` brings the pretrained one back.
            UnfreezeError: There is no memory for a single image.
        """
        if self._tuned:
            raise RuntimeError("this backbone is fine-tuned already, and activations are the pretrained one's")
        self._change_dropout(phase)
        folds = self.activations(self.backbone.cut(point))
        graph.freeze_below(self.backbone.base, self.backbone.first_trainable(point))
        suffix = pointwise.as_products(self.backbone.part(folds.position, self.backbone.end))
        model = FineTuned(suffix, self.head)
        self._tuned = True
        parts = state.parts if state else 1
        while True:
            try:
                return self._fit(
                    model, folds, phase, label, until=until, state=state, callbacks=callbacks, parts=parts
                )
            except OUT_OF_MEMORY as error:
                self._undo()
                if state is not None:
                    raise
                if parts == phase.batch_size:
                    raise UnfreezeError(
                        f"{self.backbone.row.name}: no memory for training with one image a step: unfreeze less, "
                        "or set preprocess.image_size lower"
                    ) from error
                parts = min(2 * parts, phase.batch_size)
                console.log.warning(
                    "%s: out of memory, on with %d steps of %d images for each of %d",
                    self.backbone.row.name, parts, ceil(phase.batch_size / parts), phase.batch_size,
                )  # fmt: skip

    def validate(self) -> np.ndarray:
        """Return what the last training's model says of each validation image: shape (images, classes), float32."""
        assert self._fitted is not None
        return self._fitted.predict(self._val, verbose=0)

    def state(self) -> State:
        """Return where the last training stopped."""
        assert self._fitted is not None
        variables = [*self._fitted.weights, *self._fitted.optimizer.variables]
        return State(self._epochs, self._parts, [variable.numpy() for variable in variables])

    def release(self) -> None:
        """Let go of the last training's model and its optimizer; what it has learnt stays in backbone and head."""
        self._fitted = self._val = None

    def activations(self, position: int) -> Folds:
        """Return the rows from which the layers behind a position can be trained.

        Args:
            position: A position at or behind the cut of the cached features.

        Returns:
            Rows at that position, derived from the cached ones; where there is no room for them, the cached ones,
            so that the frozen layers between run in every epoch; where nothing is cached, rows that are
            computed from pixels in every epoch.
        """
        cached = self._cached
        if position == cached.position:
            return cached
        derived = self._derived(f"position_{position}", self.backbone.part(cached.position, position), position)
        if derived is not None:
            return derived
        return cached if self.features.plan.stored else self._computed(position)

    def restore(self, head: keras.Model) -> None:
        """Go back to the pretrained backbone, with a copy of a head."""
        keras.utils.set_random_seed(self.seed)
        if self._tuned:
            self._undo()
            self._tuned = False
        self.head = keras.models.clone_model(head)
        self.head.set_weights(head.get_weights())

    @functools.cached_property
    def _cached(self) -> Folds:
        plan = self.features.plan
        if self.features.train is not None and self.features.val is not None:
            return Folds(plan.position, self.features.train, self.features.val)
        return self._computed(plan.position)

    def _computed(self, position: int) -> Folds:
        """Return rows that the engine computes from pixels whenever they are asked for."""
        plan = self.features.plan
        part = self.backbone.part(0, position)
        engine = engine_of(part, plan.settings.extract)
        augment, seed = plan.settings.augment, plan.settings.seed
        originals = plan.train.images[: len(plan.train) // augment.views]
        train = Computed(Views(self._images, originals, augment, seed), engine, plan.train.labels, plan.train.weights)
        val = Computed(Views(self._images, plan.val.images, None, seed), engine, plan.val.labels, plan.val.weights)
        return Folds(position, train, val)

    def _depths(self, model: keras.Model) -> list[int]:
        """Return how many blocks, from the top one on, each trainable variable lies below the head."""
        starts = graph.block_starts(self.backbone.base)
        depth_of = {
            id(variable): 1 + sum(start > index for start in starts)
            for index, layer in enumerate(self.backbone.base.layers)
            for variable in layer.trainable_variables
        }
        return [depth_of.get(id(variable), 0) for variable in model.trainable_variables]

    def _derived(self, name: str, part: keras.Model, position: int) -> Folds | None:
        """Run more frozen layers over the cached rows, once, and keep what they give; None if there is no room."""
        if name in self._known:
            return self._known[name]
        source = self.features.plan
        settings = source.settings.extract
        shape = tuple(part.output.shape[1:])
        plan = replace(source, position=position, row_shape=shape, dtype=settings.dtype, stored=True)
        path = self._folder / f"{name}.h5"
        room = cache.room(path, self.free_gb, copies=1)
        if plan.nbytes > room:
            console.log.warning(
                "%s: activations behind %s would take %.1f GB, there is room for %.1f: computed in every epoch",
                self.backbone.row.name, self.backbone.base.operations[position].name, plan.nbytes / 1e9, room / 1e9,
            )  # fmt: skip
            return None
        engine = engine_of(part, settings)
        start = self._cached
        with cache.writing(path, plan) as writer:
            for fold in (start.train, start.val):
                for rows in engine.run(fold.batches(engine.batch_size)):
                    writer.append(rows)
        derived = cache.read(path, plan.determined_by)
        assert derived.train is not None and derived.val is not None
        self._known[name] = Folds(position, derived.train, derived.val)
        return self._known[name]

    def _undo(self) -> None:
        for weight, value in self._before:
            weight.assign(value)

    def _change_dropout(self, phase: Phase) -> None:
        if phase.dropout is not None:
            self.head = with_dropout(self.head, phase.dropout)

    def _training_rows(self, folds: Folds, views: int | None) -> Source:
        stored = self.features.plan.settings.augment.views
        if views is None:
            return folds.train
        if views > stored:
            raise UnfreezeError(f"training on {views} views, {stored} are stored: set augment.views={views}")
        return feed.first_views(folds.train, views, stored=stored)

    def _fit(
        self,
        model: keras.Model,
        folds: Folds,
        phase: Phase,
        label: str,
        *,
        until: int | None = None,
        state: State | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        parts: int = 1,
    ) -> Result:
        if not phase.epochs:
            return Result(pd.DataFrame(columns=["phase", "epoch", *CURVES]), 0, False, None)
        first, last = (state.epochs if state else 0), until or phase.epochs
        keras.utils.set_random_seed(self.seed)
        use_precision(self.train.precision)
        rows = self._training_rows(folds, phase.views)
        # Later epochs shall not see the orders of the first ones again.
        train = feed.shuffled(
            rows,
            ceil(phase.batch_size / parts),
            self.weights,
            self.seed + first,
            label_smoothing=phase.label_smoothing,
        )
        val = feed.in_order(folds.val, max(phase.batch_size, 64), self.weights)
        model.compile(
            build_optimizer(phase, steps=len(train), depths=self._depths(model), accumulate=parts),
            keras.losses.CategoricalCrossentropy(),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=False,
            steps_per_execution=min(len(train), STEPS_A_CALL),
        )
        self._fitted, self._val = model, val
        self._before = [(weight, weight.numpy()) for weight in model.weights]
        began_at = model.evaluate(val, verbose=0)[0]
        if state:
            model.optimizer.build(model.trainable_variables)
            for variable, value in zip([*model.weights, *model.optimizer.variables], state.variables, strict=True):
                variable.assign(value)
        name = f"{self.backbone.row.name} {label}"
        with console.progress(f"training {name}", last - first) as advance:
            called: list[keras.callbacks.Callback] = [
                _Progress(advance),
                keras.callbacks.TerminateOnNaN(),
                # Rows wait to be shuffled in the memory of a thread, and each epoch has threads of its own.
                keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: memory.trim()),
                *callbacks,
            ]
            if phase.patience is not None:
                called.append(
                    keras.callbacks.EarlyStopping("val_loss", patience=phase.patience, restore_best_weights=True)
                )
            fitted = model.fit(
                train,
                validation_data=val,
                initial_epoch=first,
                epochs=last,
                verbose=0,
                callbacks=called,
                shuffle=False,
            )
        self._epochs, self._parts = first + len(fitted.epoch), parts
        history = pd.DataFrame(fitted.history, columns=CURVES, index=fitted.epoch).rename_axis("epoch").reset_index()
        history.insert(0, "phase", label)
        losses = history["val_loss"]
        improved = bool(losses.min() < began_at)
        kept = losses.min() if phase.patience is not None else losses.iloc[-1]
        if not improved and phase.patience is not None:
            console.log.info("%s did not improve on %.4f: the weights from before it are kept", name, began_at)
            self._undo()
            kept = began_at
        return Result(history, graph.trainable_parameters(model), improved, float(kept))


class FineTuned(keras.Model):
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


def _class_weights(fold: cache.Fold, classes: int, kind: str) -> list[float]:
    """Return a weight a class; `balanced` is all images' weight / (classes * the class's), as in scikit-learn."""
    if kind == "none":
        return [1.0] * classes
    counts = np.bincount(fold.labels, fold.weights, minlength=classes)
    return [float(counts.sum() / (classes * count)) if count else 0.0 for count in counts]
