"""Views of images: as they are, and with random changes that depend on the image alone, not on its neighbours."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unfreeze.images import store
from unfreeze.settings.images import Augment


@dataclass(frozen=True)
class Change:
    """What becomes of one image.

    Args:
        matrix: float64 array of shape (3, 3): from a place in the changed image, (column, row, 1) in pixels from its
            middle, to the place in the image that is shown there.
        brightness: What is added to each value of a pixel, 0..255.
    """

    matrix: np.ndarray
    brightness: float


def draw_change(augment: Augment, seed: tuple[int, ...]) -> Change:
    """Draw the random change of one image.

    Args:
        augment: How much of each change.
        seed: Numbers from 0 on that name the image and the occasion; the same ones give the same change.
    """
    rng = np.random.default_rng(seed)
    flips = rng.random(2) < 0.5
    angle = math.radians(rng.uniform(-augment.rotation, augment.rotation))
    shear = rng.uniform(-augment.shear, augment.shear, 2)
    scale = 1 + rng.uniform(-augment.scale, augment.scale)
    brightness = 255 * rng.uniform(-augment.brightness, augment.brightness)
    mirrored = np.where(flips & [augment.horizontal_flip, augment.vertical_flip], -1.0, 1.0)
    turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = turned @ [[1, shear[0]], [shear[1], 1]] @ np.diag(mirrored) * scale
    return Change(matrix, brightness)


def apply_changes(pixels: np.ndarray, changes: list[Change]) -> np.ndarray:
    """Change images, each in one interpolation; what lies beyond an edge is the image mirrored there.

    Args:
        pixels: uint8 array of shape (batch, size, size, 3).
        changes: One an image.

    Returns:
        uint8 array of the same shape.
    """
    if all(map(_is_mirror, changes)):
        mirrored = np.empty_like(pixels)
        for image, change, place in zip(pixels, changes, mirrored, strict=True):
            place[...] = _mirror(image, change)
        return mirrored
    from keras import ops

    middle = (pixels.shape[1] - 1) / 2
    to_middle, back = np.eye(3), np.eye(3)
    to_middle[:2, 2], back[:2, 2] = -middle, middle
    matrices = np.stack([back @ change.matrix @ to_middle for change in changes])
    moved = ops.image.affine_transform(
        pixels.astype("float32"), matrices.reshape(-1, 9)[:, :8].astype("float32"), fill_mode="reflect"
    )
    changed = np.asarray(moved) + np.array([change.brightness for change in changes], "float32")[:, None, None, None]
    return np.asarray(np.clip(np.rint(changed), 0, 255), "uint8")


def _is_mirror(change: Change) -> bool:
    return not change.brightness and np.array_equal(np.abs(change.matrix), np.eye(3))


def _mirror(image: np.ndarray, change: Change) -> np.ndarray:
    across, down = change.matrix[0, 0] < 0, change.matrix[1, 1] < 0
    mirrored: np.ndarray = image[:: -1 if down else 1, :: -1 if across else 1]
    return mirrored


class Views:
    """The pixels of a fold: every image as it is, then further views of all with random changes.

    Args:
        path: The image store.
        images: Row numbers in the store, one an image.
        augment: Number of views, and what changes from view to view; None leaves it at the first.
        seed: Seed of all changes.
        fresh: Whether a reading in random order changes the first view, too, and all of them differently each epoch.
    """

    def __init__(
        self, path: Path, images: np.ndarray, augment: Augment | None, seed: int, *, fresh: bool = False
    ) -> None:
        self.path = path
        self.images = images
        self.augment = augment
        self.seed = seed
        self.count = augment.views if augment else 1
        self.fresh = fresh

    def __len__(self) -> int:
        return self.count * len(self.images)

    @property
    def rows(self) -> np.ndarray:
        """Row numbers in the store, one a view of an image."""
        return np.tile(self.images, self.count)

    def take_first(self, count: int) -> "Views":
        """Return the first views of each image alone."""
        augment = self.augment.model_copy(update={"views": count}) if self.augment else None
        return Views(self.path, self.images, augment, self.seed, fresh=self.fresh)

    @property
    def segments(self) -> tuple[int, ...]:
        """Number of images of each view, one view after the other."""
        return (len(self.images),) * self.count

    def iterate_batches(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[np.ndarray]:
        """Yield the pixels of all views, one view after the other; a batch never crosses into the next view.

        Args:
            size: Most images a batch.
            start: Number of the first one, below `len(self)`.
            stop: Number after the last one; None for all.
        """
        stop = len(self) if stop is None else stop
        for view in range(self.count):
            first = view * len(self.images)
            numbers = np.arange(max(start, first), min(stop, first + len(self.images)))
            images = self.images[numbers - first]
            for place, batch in enumerate(store.read_batches(self.path, images, size)):
                yield self._change(batch, numbers[place * size :][: len(batch)], 0, first=1)

    def iterate_shuffled(self, size: int, order: np.ndarray, epoch: int) -> Iterator[np.ndarray]:
        """Yield the pixels in an order.

        Args:
            size: Most images a batch.
            order: Numbers below `len(self)`.
            epoch: Each has random changes of its own; those of epoch 0 are those of `iterate_batches`, but where
                changes are fresh.
        """
        images = self.images[order % len(self.images)]
        for start, batch in enumerate(store.read_batches(self.path, images, size)):
            yield self._change(batch, order[start * size :][: len(batch)], epoch, first=0 if self.fresh else 1)

    def _change(self, batch: np.ndarray, numbers: np.ndarray, epoch: int, *, first: int) -> np.ndarray:
        """Change the pixels of views by their numbers, from the given view on; earlier ones stay as they are."""
        changed = np.flatnonzero(numbers >= first * len(self.images))
        if self.augment is None or not len(changed):
            return batch
        views, images = np.divmod(numbers[changed], len(self.images))
        changes = [
            draw_change(self.augment, (self.seed, epoch, int(view), int(self.images[image])))
            for view, image in zip(views, images, strict=True)
        ]
        if len(changed) == len(batch):
            return apply_changes(batch, changes)
        batch = batch.copy()
        batch[changed] = apply_changes(batch[changed], changes)
        return batch
