"""Activations that layers are trained on: cached, derived from the cached ones once, or computed in every epoch."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from unfreeze import files
from unfreeze.features import cache, choice
from unfreeze.features.cache import Features
from unfreeze.images.augment import Views
from unfreeze.models.arithmetic import count_values
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import Engine, make_engine, make_pixel_engine
from unfreeze.runtime import console
from unfreeze.training.feed import Computed, Source, Unchanged


@dataclass(frozen=True)
class Folds:
    """Rows of the training and the validation fold at one position of the backbone."""

    position: int
    train: Source
    val: Source


class Activations:
    """A backbone's activations at the cut and behind it; derived ones are kept in a folder.

    Args:
        backbone: The backbone with its pretrained weights.
        features: Cached activations of the training and the validation fold.
        images: The image store, for rows that are not cached.
        folder: Where derived activations are kept; a folder of its own.
        max_gb: Most room that derived activations may take together, GB of 10^9 bytes.
        makes_room: Whether those that do not fit take the place of earlier ones.
    """

    def __init__(
        self,
        backbone: Backbone,
        features: Features,
        *,
        images: Path,
        folder: Path,
        max_gb: float,
        makes_room: bool = False,
    ) -> None:
        self.backbone = backbone
        self.features = features
        self.max_gb = max_gb
        self._images = images
        self._folder = folder
        self._makes_room = makes_room
        self._derived: dict[str, Folds] = {}

    @property
    def free_gb(self) -> float:
        """Room that derived activations leave of `max_gb`, GB."""
        return self.max_gb - sum(file.stat().st_size for file in self._folder.glob("*")) / 1e9

    def find_rows(self, position: int) -> Folds:
        """Return the rows from which the layers behind a position can be trained.

        Args:
            position: Its number in the backbone.

        Returns:
            Rows at that position, as `derive` returns them; where activations do not pay, those that they would be
            derived from, so that training runs the frozen layers between.
        """
        plan = self.features.plan
        if position == plan.position:
            return self.cached
        operations = self.backbone.base.operations
        start, start_bytes = 0, count_values(operations[0])
        if position > plan.position:
            start, start_bytes = plan.position, plan.row_bytes
        row_bytes = count_values(operations[position]) * np.dtype(plan.settings.extract.dtype).itemsize
        if position and choice.pays(self.backbone.count_macs(start, position), row_bytes, start_bytes):
            return self.derive(f"position_{position}", self.backbone.build_part(start, position), position)
        return self.cached if position > plan.position else self._read_pixels()

    def derive(self, name: str, part: keras.Model, position: int) -> Folds:
        """Run more frozen layers over the cached rows, once, and keep their output.

        Where there is no room for it they run each time the rows are read, which gives the same bits.

        Args:
            name: Identifies the result; asked for again, it is not computed again.
            part: The layers, from the cached rows on, or from pixels if the position lies before these.
            position: Position of the backbone that the result is at.
        """
        if name in self._derived:
            return self._derived[name]
        source = self.features.plan
        settings = source.settings.extract
        shape = tuple(part.output.shape[1:])
        plan = replace(source, position=position, row_shape=shape, dtype=settings.dtype, stored=True)
        path = self._folder / f"{name}.h5"
        computed = self._compute(part, position)
        room = cache.measure_room(path, self.free_gb, copies=1)
        if plan.nbytes > room and self._makes_room:
            self._forget()
            room = cache.measure_room(path, self.free_gb, copies=1)
        if plan.nbytes > room:
            console.log.warning(
                "%s: activations behind %s would take %.1f GB, there is room for %.1f: computed in every epoch",
                self.backbone.row.name, self.backbone.base.operations[position].name, plan.nbytes / 1e9, room / 1e9,
            )  # fmt: skip
            return computed
        with cache.open_writer(path, plan) as writer:
            for fold in (computed.train, computed.val):
                for rows in fold.iterate_batches(settings.batch_size):
                    writer.append(rows)
        derived = cache.read(path, plan.determined_by)
        assert derived.train is not None and derived.val is not None
        self._derived[name] = Folds(position, derived.train, derived.val)
        return self._derived[name]

    def _forget(self) -> None:
        self._derived.clear()
        for file in self._folder.glob("*"):
            files.remove(file)

    @functools.cached_property
    def cached(self) -> Folds:
        """The rows at the cut, as training reads them: at the pixels with new changes in every epoch."""
        plan = self.features.plan
        return self._extracted if plan.position or not plan.settings.augment.every_epoch else self._read_pixels()

    @functools.cached_property
    def _extracted(self) -> Folds:
        """The rows at the cut; computed from pixels each time they are read if they are not stored."""
        plan = self.features.plan
        if self.features.train is not None and self.features.val is not None:
            return Folds(plan.position, self.features.train, self.features.val)
        return self._compute_from_pixels(self.backbone.build_part(0, plan.position), plan.position)

    def _compute(self, part: keras.Model, position: int) -> Folds:
        """Return rows that layers compute each time: from the cached ones, or from pixels where these lie behind."""
        plan = self.features.plan
        if position < plan.position:
            return self._compute_from_pixels(part, position)
        start, engine = self._extracted, make_engine(part, plan.settings.extract)
        return self._make_folds(start.train, start.val, engine, position)

    def _read_pixels(self) -> Folds:
        """Return the rows that the image store holds, by default with new changes in every epoch."""
        fresh = self.features.plan.settings.augment.every_epoch
        return self._compute_from_pixels(self.backbone.build_part(0, 0), 0, fresh=fresh)

    def _compute_from_pixels(self, part: keras.Model, position: int, *, fresh: bool = False) -> Folds:
        plan = self.features.plan
        augment, seed = plan.settings.augment, plan.settings.seed
        originals = plan.train.images[: len(plan.train) // augment.views]
        if position:
            engine: Engine | Unchanged = make_pixel_engine(part, plan.settings.extract, self._images, originals)
        else:
            engine = Unchanged(tuple(part.output.shape[1:]))
        train = Views(self._images, originals, augment, seed, fresh=fresh)
        return self._make_folds(train, Views(self._images, plan.val.images, None, seed), engine, position)

    def _make_folds(
        self, train: Views | Source, val: Views | Source, engine: Engine | Unchanged, position: int
    ) -> Folds:
        plan = self.features.plan
        dtype = plan.settings.extract.dtype if position else "uint8"
        return Folds(
            position,
            Computed(train, engine, plan.train.labels, plan.train.weights, dtype),
            Computed(val, engine, plan.val.labels, plan.val.weights, dtype),
        )
