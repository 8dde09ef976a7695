"""What a cache of activations holds: images, place in the backbone, and how the activations are made."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from unfreeze.settings.base import Section
from unfreeze.settings.images import Augment
from unfreeze.settings.training import Extract

# Arrays of a fold, in the order of its fields.
OF_FOLD = ("images", "labels", "weights")

Dtype = Literal["float16", "float32", "uint8"]


class Settings(Section):
    """How the activations are made, so that a reader can make more of them in the same way.

    Args:
        seed: Seed of the augmented views.
        augment: Random changes of the training images.
        extract: How the frozen layers run.
    """

    seed: int
    augment: Augment
    extract: Extract


@dataclass(frozen=True)
class Fold:
    """The images of a fold; with several views, all images of the first view come first, and so on.

    Args:
        images: Row numbers in the image store, integer array of shape (rows,).
        labels: Class numbers, integer array of shape (rows,).
        weights: Sample weights in training, float array of shape (rows,).
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def is_same_as(self, other: "Fold") -> bool:
        """Tell whether both hold the same images in the same order, under the same labels and weights."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in OF_FOLD)


@dataclass(frozen=True)
class Plan:
    """The content of a cache, known before it is computed.

    Args:
        position: Where the backbone is cut, in `backbone.operations`; 0 stands for the uint8 pixels themselves.
        row_shape: Shape of one image's activations.
        dtype: How activations are stored.
        train: The training fold.
        val: The validation fold.
        classes: Number of classes.
        determined_by: Digests of images, weights and split, scaling of pixels, name of the layer before the cut,
            engine, and what an 8-bit network depends on: all that the activations depend on.
        settings: How they are made.
        stored: False if the disk has no room for them: they are computed each time they are needed.
    """

    position: int
    row_shape: tuple[int, ...]
    dtype: Dtype
    train: Fold
    val: Fold
    classes: int
    determined_by: dict[str, str]
    settings: Settings
    stored: bool = True

    @property
    def rows(self) -> int:
        """Number of rows that are stored."""
        return len(self.train) + len(self.val) if self.stored else 0

    @property
    def row_bytes(self) -> int:
        """Size of one image's activations."""
        return int(np.prod(self.row_shape)) * np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """Size of the stored activations."""
        return self.rows * self.row_bytes

    def is_same_as(self, other: "Plan") -> bool:
        """Tell whether both plan the same bytes."""
        alike = ("position", "row_shape", "dtype", "classes", "determined_by", "settings", "stored")
        return (
            all(getattr(self, name) == getattr(other, name) for name in alike)
            and self.train.is_same_as(other.train)
            and self.val.is_same_as(other.val)
        )
