"""Activations that layers are trained on: cached, derived from the cached ones once, or computed in every epoch."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from unfreeze import files
from unfreeze.features import cache
from unfreeze.features.cache import Features
from unfreeze.images.augment import Views
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import make_engine, make_pixel_engine
from unfreeze.runtime import console
from unfreeze.training.feed import Computed, Source


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
            Rows at that position, derived from the cached ones, or from pixels if it lies before these; where there
            is no room for them, the cached ones, so that the frozen layers between run in every epoch; where nothing
            is cached before it, rows that are computed from pixels in every epoch.
        """
        if position == self.cached.position:
            return self.cached
        if position == 0:
            # The image store holds the pixels.
            return self._compute(0)
        is_behind = position > self.cached.position
        part = self.backbone.build_part(self.cached.position if is_behind else 0, position)
        derived = self.derive(f"position_{position}", part, position)
        if derived is not None:
            return derived
        return self.cached if is_behind and self.features.plan.stored else self._compute(position)

    def derive(self, name: str, part: keras.Model, position: int) -> Folds | None:
        """Run more frozen layers over the cached rows, once, and keep their output; None if there is no room.

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
        room = cache.measure_room(path, self.free_gb, copies=1)
        if plan.nbytes > room and self._makes_room:
            self._forget()
            room = cache.measure_room(path, self.free_gb, copies=1)
        if plan.nbytes > room:
            console.log.warning(
                "%s: activations behind %s would take %.1f GB, there is room for %.1f: computed in every epoch",
                self.backbone.row.name, self.backbone.base.operations[position].name, plan.nbytes / 1e9, room / 1e9,
            )  # fmt: skip
            return None
        with cache.open_writer(path, plan) as writer:
            for rows in self._run(part, position):
                writer.append(rows)
        derived = cache.read(path, plan.determined_by)
        assert derived.train is not None and derived.val is not None
        self._derived[name] = Folds(position, derived.train, derived.val)
        return self._derived[name]

    def _run(self, part: keras.Model, position: int) -> Iterator[np.ndarray]:
        """Yield what layers make of both folds' rows, in their order."""
        if position < self.cached.position:
            computed = self._compute(position)
            for fold in (computed.train, computed.val):
                yield from fold.iterate_batches(self.features.plan.settings.extract.batch_size)
            return
        engine = make_engine(part, self.features.plan.settings.extract)
        for fold in (self.cached.train, self.cached.val):
            yield from engine.run(fold.iterate_batches(engine.batch_size))

    def _forget(self) -> None:
        self._derived.clear()
        for file in self._folder.glob("*"):
            files.remove(file)

    @functools.cached_property
    def cached(self) -> Folds:
        """The rows at the cut; computed from pixels in every epoch if they are not stored."""
        plan = self.features.plan
        if self.features.train is None or self.features.val is None:
            return self._compute(plan.position)
        stored = Folds(plan.position, self.features.train, self.features.val)
        if plan.position or not plan.settings.augment.every_epoch:
            return stored
        return replace(self._compute(0), val=stored.val)

    def _compute(self, position: int) -> Folds:
        """Return rows that the engine computes from pixels each time they are read."""
        plan = self.features.plan
        part = self.backbone.build_part(0, position)
        augment, seed = plan.settings.augment, plan.settings.seed
        originals = plan.train.images[: len(plan.train) // augment.views]
        engine = make_pixel_engine(part, plan.settings.extract, self._images, originals)
        fresh = position == 0 and augment.every_epoch
        views = Views(self._images, originals, augment, seed, fresh=fresh)
        train = Computed(views, engine, plan.train.labels, plan.train.weights)
        val = Computed(Views(self._images, plan.val.images, None, seed), engine, plan.val.labels, plan.val.weights)
        return Folds(position, train, val)
