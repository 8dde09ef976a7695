"""The registry of files that hold many images with their labels: arrays, TFRecord, MNIST's and CIFAR's own forms.

A kind is one file in `unfreeze.sources.array_kinds` or in `plugins/array_kinds` of the checkout, which calls
`register`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unfreeze.runtime.plugins import load_entries


class UnclearError(Exception):
    """Why arrays are not taken for images with labels; the message says what was found, what expected, what to do."""


@dataclass(frozen=True)
class Stored:
    """An array in a file.

    Args:
        name: Its name, such as x_train or train/images.
        shape: Its shape.
        dtype: Its dtype.
        read: Yields it in blocks along the first axis, in order.
        place: Name of the file, which may name a fold too; empty where nothing is to be read from it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], Iterator[np.ndarray]]
    place: str = ""

    def __str__(self) -> str:
        return f"{self.name!r} {self.dtype} {self.shape}"

    def load(self) -> np.ndarray:
        """Return the whole array."""
        blocks = list(self.read())
        return np.concatenate(blocks) if blocks else np.empty(self.shape, self.dtype)


@dataclass(frozen=True)
class Part:
    """The images of one fold.

    Args:
        fold: train, val or test; empty where the source names no folds.
        labels: Class of each image.
        suffixes: Suffix of each image's file.
        encode: Yields the bytes of each image's file, in order.
    """

    fold: str
    labels: Sequence[str]
    suffixes: Sequence[str]
    encode: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class ArrayKind:
    """One kind of files.

    Args:
        name: What people call it.
        find: Takes the visible files of a folder, or one file, and returns those of this kind.
        read: Reads these files, and raises `UnclearError` where they are not clear.
    """

    name: str
    find: Callable[[Sequence[Path]], Sequence[Path]]
    read: Callable[[Sequence[Path]], Sequence[Part]]


_KINDS: dict[str, ArrayKind] = {}


def register(kind: ArrayKind) -> None:
    """Add a kind to the registry; one of the same name is replaced."""
    _KINDS[kind.name] = kind


def load_array_kinds() -> list[ArrayKind]:
    """Return all kinds, the package's and those of the checkout, by name."""
    load_entries("array_kinds", "unfreeze.sources.array_kinds")
    return [_KINDS[name] for name in sorted(_KINDS)]
