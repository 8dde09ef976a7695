"""Training on cached activations: first the head, then the head with the unfrozen layers."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.features import cache
from unfreeze.features.cache import Features
from unfreeze.features.plan import Fold
from unfreeze.images import store
from unfreeze.models import graph
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import use_precision
from unfreeze.models.table import find_row
from unfreeze.paths import Paths
from unfreeze.runtime import console, processors
from unfreeze.settings.base import PixelScaling
from unfreeze.settings.training import Head, Phase, Train, UnfreezePoint
from unfreeze.training import convolutions, devices, feed
from unfreeze.training.activations import Activations, Folds
from unfreeze.training.budget import Budget
from unfreeze.training.feed import Source
from unfreeze.training.fitting import Fitting, Result, State
from unfreeze.training.heads import build_head, replace_dropout
from unfreeze.training.history import CURVES
from unfreeze.training.optimizers import build_optimizer

# Layers at the start of a head without weights: they run once, with the backbone.
FIXED_LAYERS = (
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Cropping1D,
    keras.layers.Flatten,
)
OUT_OF_MEMORY = (tf.errors.ResourceExhaustedError, MemoryError)


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and let TensorFlow run deterministic operations only."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def limit_threads(count: int) -> None:
    """Let this process compute with so many threads, on which the last bits depend; called before it computes."""
    processors.limit(count)
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(count)


class TransferSettings(Protocol):
    """The parameters that `Transfer.prepare` uses; the settings of the stages that train hold them, among others."""

    @property
    def seed(self) -> int:
        """Seed of the head's initial weights, of the order of images and of dropout."""

    @property
    def pixels(self) -> PixelScaling:
        """How pixels are scaled for the backbone."""

    @property
    def head(self) -> Head:
        """Layers and output of the head."""

    @property
    def train(self) -> Train:
        """Class weights and precision; the phases are given to `train_head` and `fine_tune`."""


class Transfer:
    """A backbone, its head and cached activations; both phases of training change the weights in place.

    Activations behind the cached ones are derived from them once and kept in a folder while they are needed.

    Args:
        backbone: The backbone with its pretrained weights.
        head: From the backbone's output to probabilities.
        features: Cached activations of the training and the validation fold.
        images: The image store, for what is not cached.
        folder: Where derived activations are kept; a folder of its own.
        train: Class weights and precision.
        max_gb: Most room that derived activations may take together, GB of 10^9 bytes.
        makes_room: Whether activations that do not fit take the place of earlier ones: then what is kept does not
            depend on which trainings ran before.
        seed: Seed of each phase: order of images and dropout do not depend on what ran before.
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
        makes_room: bool = False,
    ) -> None:
        self.backbone = backbone
        self.head = head
        self.features = features
        self.activations = Activations(
            backbone, features, images=images, folder=folder, max_gb=max_gb, makes_room=makes_room
        )
        self._seed = seed
        self._precision = train.precision
        self._class_weights = _compute_class_weights(features.plan.train, features.plan.classes, train.class_weights)
        self._tuned = False
        # The last training. It holds the one copy of weights that is kept: those of before it.
        self._fitting: Fitting | None = None

    @classmethod
    @contextmanager
    def prepare(
        cls, settings: TransferSettings, paths: Paths, name: str, *, max_gb: float | None = None, worker: str = ""
    ) -> Iterator["Transfer"]:
        """Load a backbone's weights and features and put a new head on it; the process becomes deterministic.

        Args:
            settings: Seed, scaling of pixels, head, class weights and precision.
            paths: Weights, images and features.
            name: The backbone.
            max_gb: Most room that derived activations may take together, GB; that of the cached ones by default.
            worker: Tells processes apart that do this at the same time; each makes room for what it needs next.

        Yields:
            The transfer; activations derived for it are removed when the block ends.
        """
        make_deterministic(settings.seed)
        with devices.use_all():
            images = store.describe(paths.images)
            backbone = Backbone(find_row(name), images.size, settings.pixels)
            backbone.load_weights(paths.weights(name))
            layers = settings.head.layers.get(name)
            head = build_head(
                backbone.row.head if layers == "auto" else layers,
                features=backbone.feature_shape,
                classes=len(images.classes),
                output=settings.head.output,
            )
            expected = {
                "images": images.digest,
                "weights": files.hash_file(paths.weights(name)),
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
                    makes_room=bool(worker),
                )

    def make_budget(self, minutes: float | None, phase: Phase) -> Budget:
        """Return the seconds that search and fine-tuning of this backbone may take.

        Args:
            minutes: Those of the backbone; None for no limit.
            phase: How fine-tuning trains.
        """
        plan = self.features.plan
        stored = plan.settings.augment.views
        rows = len(plan.train) // stored * (phase.views or stored)
        return Budget(minutes, rows, len(plan.val), phase.batch_size)

    def expect_head(self, phase: Phase) -> None:
        """Give the head the layers that `train_head` gives it; its weights come from another process."""
        self._change_dropout(phase)

    def train_head(self, phase: Phase) -> Result:
        """Train the head alone, on features that are computed once."""
        self._change_dropout(phase)
        first = itertools.takewhile(lambda layer: isinstance(layer, FIXED_LAYERS), self.head.operations[1:])
        fixed = len(list(first))
        cached, end = self.activations.cached, self.backbone.end
        part = self.backbone.build_part(cached.position, end)
        if fixed:
            part = keras.Model(part.input, graph.build_segment(self.head, 0, fixed)(part.output))
        folds = self.activations.derive(f"head_{fixed}", part, end)
        return self._fit(graph.build_segment(self.head, fixed, len(self.head.operations) - 1), folds, phase, "head")

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
            label: Name of this training in the log and in its history.
            until: The epoch after which to stop; the schedule is that of all epochs of the phase.
            state: Where an earlier training of the same point and phase stopped; its batches are not halved.
            callbacks: Further callbacks for Keras.

        Raises:
            RuntimeError: The backbone was fine-tuned before; `restore` brings the pretrained one back.
            UnfreezeError: There is no memory for a single image.
        """
        if self._tuned:
            raise RuntimeError("this backbone is fine-tuned already, and activations are the pretrained one's")
        self._change_dropout(phase)
        folds = self.activations.find_rows(self.backbone.find_cut(point))
        graph.freeze_below(self.backbone.base, self.backbone.find_first_trainable(point))
        suffix = convolutions.replace_convolutions(self.backbone.build_part(folds.position, self.backbone.end))
        model = FineTuned(suffix, self.head)
        self._tuned = True
        parts = state.parts if state else 1
        while True:
            try:
                return self._fit(model, folds, phase, label, until, state, callbacks, parts)
            except OUT_OF_MEMORY as error:
                self._undo()
                if state is not None:
                    raise
                parts = self._divide_further(parts, self._count_rows_a_batch(folds, phase), error)

    def predict_validation(self) -> np.ndarray:
        """Return the last training's probabilities of the validation images, float32 of shape (images, classes)."""
        assert self._fitting is not None
        return self._fitting.predict_validation()[: len(self.features.plan.val)]

    def measure_calibrated_loss(self) -> float:
        """Return the last training's validation loss at the temperature that suits the validation fold best."""
        assert self._fitting is not None
        return self._fitting.measure_calibrated_loss()

    def read_state(self) -> State:
        """Return where the last training stopped."""
        assert self._fitting is not None
        return self._fitting.read_state()

    def release(self) -> None:
        """Drop the last training's model and its optimizer; trained weights stay in backbone and head."""
        if self._fitting is not None:
            self._fitting.release()

    def restore(self, head: keras.Model) -> None:
        """Restore the pretrained weights of the backbone, and take a copy of a head."""
        keras.utils.set_random_seed(self._seed)
        if self._tuned:
            self._undo()
            self._tuned = False
        self.head = keras.models.clone_model(head)
        self.head.set_weights(head.get_weights())

    def _list_depths(self, model: keras.Model) -> list[int]:
        """Return how many blocks, from the top one on, each trainable variable lies below the head."""
        starts = self.backbone.find_block_starts()
        depth_of = {
            id(variable): 1 + sum(start > index for start in starts)
            for index, layer in enumerate(self.backbone.base.layers)
            for variable in layer.trainable_variables
        }
        return [depth_of.get(id(variable), 0) for variable in model.trainable_variables]

    def _undo(self) -> None:
        if self._fitting is not None:
            self._fitting.undo()

    def _count_rows_a_batch(self, folds: Folds, phase: Phase) -> int:
        """Return how many rows a batch has: no more than there are, so that its parts are all of one epoch.

        Several GPUs have batches that are filled up with rows without weight.
        """
        if devices.count() > 1:
            return phase.batch_size
        return min(phase.batch_size, len(self._find_training_rows(folds, phase.views)))

    def _divide_further(self, parts: int, batch_size: int, error: BaseException) -> int:
        """Return into how many steps to divide a batch after one of `parts` steps did not fit into memory."""
        name = self.backbone.row.name
        most = ceil(batch_size / devices.count())
        if parts == most:
            raise UnfreezeError(
                f"{name}: no memory for training with one image a step: unfreeze less, or set "
                "preprocess.image_size lower"
            ) from error
        parts = min(2 * parts, most)
        console.log.warning(
            "%s: out of memory, on with %d steps of %d images for each of %d",
            name, parts, ceil(batch_size / parts), batch_size,
        )  # fmt: skip
        return parts

    def _change_dropout(self, phase: Phase) -> None:
        if phase.dropout is not None:
            self.head = replace_dropout(self.head, phase.dropout)

    def _find_training_rows(self, folds: Folds, views: int | None) -> Source:
        stored = self.features.plan.settings.augment.views
        if views is None:
            return folds.train
        if views > stored:
            raise UnfreezeError(f"training on {views} views, {stored} are stored: set augment.views={views}")
        return feed.take_first_views(folds.train, views, stored=stored)

    def _fit(
        self,
        model: keras.Model,
        folds: Folds,
        phase: Phase,
        label: str,
        until: int | None = None,
        state: State | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        parts: int = 1,
    ) -> Result:
        if not phase.epochs:
            return Result(pd.DataFrame(columns=["phase", "epoch", *CURVES]), 0, False, None)
        keras.utils.set_random_seed(self._seed)
        slow = convolutions.list_slow_in_bfloat16(model.suffix) if isinstance(model, FineTuned) else ()
        use_precision(self._precision, but=slow)
        divided = devices.count() > 1
        batch_size = self._count_rows_a_batch(folds, phase)
        step = batch_size if divided else ceil(batch_size / parts)
        train = feed.read_shuffled(
            self._find_training_rows(folds, phase.views),
            step,
            self._class_weights,
            # A training that goes on must not repeat the orders of its first epochs.
            self._seed + (state.epochs if state else 0),
            label_smoothing=phase.label_smoothing,
            mixup=phase.mixup,
        )
        val_step = max(phase.batch_size, 64)
        val = feed.read_in_order(folds.val, val_step, self._class_weights)
        depths = self._list_depths(model)
        optimizer = build_optimizer(phase, steps=len(train), depths=depths, accumulate=1 if divided else parts)
        if divided:
            model = devices.Divided(model, parts)
            train, val = devices.fill_batches(train, step), devices.fill_batches(val, val_step)
        self._fitting = Fitting(
            model, optimizer, train, val, labels=self.features.plan.val.labels, weights=self._class_weights,
            parts=parts, average=phase.average,
        )  # fmt: skip
        name = f"{self.backbone.row.name} {label}"
        return self._fitting.run(phase, name, label, until=until, state=state, callbacks=callbacks)


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
        """Return the head's output; the suffix runs in inference mode, so that its statistics stay as pretrained."""
        return self.head(self.suffix(activations, training=False), training=training)


def _compute_class_weights(fold: Fold, classes: int, kind: str) -> list[float]:
    """Return a weight a class; `balanced` is all images' weight / (classes * the class's), as in scikit-learn."""
    if kind == "none":
        return [1.0] * classes
    counts = np.bincount(fold.labels, fold.weights, minlength=classes)
    return [float(counts.sum() / (classes * count)) if count else 0.0 for count in counts]
