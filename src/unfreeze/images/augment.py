"""Views of images: as they are, and with random changes made by Keras' augmentation layers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.images import store
from unfreeze.settings.images import Augment

# Distance of the seeds of two views; larger than the number of changes, each of which takes the next seed.
VIEW_SEEDS = 100


def build_changes(augment: Augment, seed: int) -> Any:
    """Build the random changes of an augmented view.

    Args:
        augment: How much of each change.
        seed: Seed of all changes.

    Returns:
        A `keras.Sequential` over pixels 0..255.
    """
    from keras import Sequential, layers

    changes: list[Any] = []
    if augment.horizontal_flip:
        changes.append(layers.RandomFlip("horizontal", seed=seed))
    if augment.vertical_flip:
        changes.append(layers.RandomFlip("vertical", seed=seed + 1))
    if augment.rotation:
        changes.append(layers.RandomRotation(augment.rotation / 360, fill_mode="reflect", seed=seed + 2))
    if augment.shear:
        changes.append(layers.RandomShear(augment.shear, augment.shear, fill_mode="reflect", seed=seed + 3))
    if augment.scale:
        changes.append(layers.RandomZoom(augment.scale, fill_mode="reflect", seed=seed + 4))
    if augment.brightness:
        changes.append(layers.RandomBrightness(augment.brightness, value_range=(0, 255), seed=seed + 5))
    return Sequential(changes)


def apply_changes(maker: Any, pixels: np.ndarray) -> np.ndarray:
    """Change each image at random.

    Args:
        maker: From `build_changes`; each call advances its random state.
        pixels: uint8 array of shape (batch, height, width, 3).

    Returns:
        uint8 array of the same shape.
    """
    changed = np.asarray(maker(pixels.astype("float32"), training=True))
    return np.asarray(np.clip(np.rint(changed), 0, 255), "uint8")


class Views:
    """The pixels of a fold: every image as it is, then further views of all with random changes.

    Args:
        path: The image store.
        images: Row numbers in the store, one an image.
        augment: Number of views, and what changes from view to view; None leaves it at the first.
        seed: Seed of all changes.
    """

    def __init__(self, path: Path, images: np.ndarray, augment: Augment | None, seed: int) -> None:
        self.path = path
        self.images = images
        self.augment = augment
        self.seed = seed
        self.count = augment.views if augment else 1

    def __len__(self) -> int:
        return self.count * len(self.images)

    @property
    def rows(self) -> np.ndarray:
        """Row numbers in the store, one a view of an image."""
        return np.tile(self.images, self.count)

    def take_first(self, count: int) -> "Views":
        """Return the first views of each image alone."""
        augment = self.augment.model_copy(update={"views": count}) if self.augment else None
        return Views(self.path, self.images, augment, self.seed)

    def iterate_batches(self, size: int, *, done: int = 0) -> Iterator[np.ndarray]:
        """Yield the pixels of all views, one view after the other; a batch never crosses into the next view.

        Args:
            size: Most images a batch.
            done: How many to leave out at the start, a whole number of batches of each view.
        """
        skipped = min(done, len(self.images))
        yield from store.read_batches(self.path, self.images[skipped:], size)
        position = len(self.images)
        for view in range(1, self.count):
            if position + len(self.images) <= done:
                position += len(self.images)
                continue
            maker = self._build_maker(view)
            for batch in store.read_batches(self.path, self.images, size):
                # Computed even if the caller skips it: each batch advances the random state.
                changed = apply_changes(maker, batch)
                position += len(batch)
                if position > done:
                    yield changed

    def iterate_shuffled(self, size: int, order: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the pixels in an order, with new random changes where a view has any.

        Args:
            size: Most images a batch.
            order: Numbers below `len(self)`.
        """
        maker = self._build_maker(1) if self.count > 1 else None
        images = self.images[order % len(self.images)]
        for start, batch in enumerate(store.read_batches(self.path, images, size)):
            if maker is not None:
                is_changed = order[start * size :][: len(batch)] >= len(self.images)
                batch = np.where(is_changed[:, None, None, None], apply_changes(maker, batch), batch)
            yield batch

    def _build_maker(self, view: int) -> Any:
        assert self.augment is not None
        return build_changes(self.augment, self.seed + VIEW_SEEDS * view)
