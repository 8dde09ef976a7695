"""Cached activations: what a backbone gives at the cut, for the training and the validation fold.

The file is written in one pass, row after row, under a temporary name. Its datasets have their place on disk
from the start, so a killed process leaves a readable file, and the next run goes on where that one stopped; and
a reader that knows where a dataset begins needs no HDF5 to stream its rows.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime.console import log
from unfreeze.settings.base import Section
from unfreeze.settings.images import Augment
from unfreeze.settings.training import Extract

# Folds in the order in which their rows are written.
FOLDS = ("train", "val")
PREFIX = "determined_by."
# What is kept of a fold beside its rows.
OF_FOLD = ("images", "labels", "weights")
READ_BATCH = 64
# What h5py raises on files whose bytes are damaged, beside what a missing file does.
DAMAGED = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)
# What a plan keeps as it is in the file's attributes.
PLAIN = ("position", "row_shape", "dtype", "classes", "stored")

Dtype = Literal["float16", "float32", "uint8"]


class Settings(Section):
    """How the activations were made, so that a reader can make more of them alike.

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
    """Which images a fold holds; with several views, all images of a view follow each other.

    Args:
        images: Row numbers in the image store.
        labels: Class numbers.
        weights: How much each counts in training.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def same_as(self, other: "Fold") -> bool:
        """Tell whether both hold the same images in the same order, under the same labels and weights."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in OF_FOLD)


@dataclass(frozen=True)
class Plan:
    """What a cache will hold, known before the work.

    Args:
        position: Where the backbone is cut, in `backbone.operations`; 0 holds the uint8 pixels themselves.
        row_shape: Shape of one image's activations.
        dtype: How activations are stored.
        train: The training fold.
        val: The validation fold.
        classes: Number of classes.
        determined_by: What the activations depend on: digests of images, weights and split, how pixels are scaled,
            the name of the layer before the cut, and the engine.
        settings: How they are made.
        stored: False if there is no room for them: they are computed each time they are needed.
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
    def nbytes(self) -> int:
        """Size of the stored activations."""
        return self.rows * int(np.prod(self.row_shape)) * np.dtype(self.dtype).itemsize

    def same_as(self, other: "Plan") -> bool:
        """Tell whether both plan the same bytes."""
        alike = ("position", "row_shape", "dtype", "classes", "determined_by", "settings", "stored")
        return (
            all(getattr(self, name) == getattr(other, name) for name in alike)
            and self.train.same_as(other.train)
            and self.val.same_as(other.val)
        )


@dataclass(frozen=True)
class Rows:
    """One fold's rows, one after the other in a file.

    Args:
        path: The file.
        offset: Where the first row begins, bytes.
        shape: Number of rows, then the shape of one.
        dtype: Kind of number.
        labels: Class numbers, one a row.
        weights: How much each row counts in training.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield all rows in their order, `size` at a time."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            for start in range(0, len(self), size):
                shape = (min(size, len(self) - start), *self.shape[1:])
                yield np.fromfile(stream, self.dtype, int(np.prod(shape))).reshape(shape)


@dataclass(frozen=True)
class Features:
    """A cache that was written to its end.

    Args:
        plan: What it holds.
        train: Rows of the training fold; None if they are not stored.
        val: Rows of the validation fold; None if they are not stored.
    """

    plan: Plan
    train: Rows | None
    val: Rows | None

    def batches(self) -> Iterator[np.ndarray]:
        """Yield the stored rows of both folds in the order they were written, some at a time."""
        for fold in (self.train, self.val):
            if fold is not None:
                yield from fold.batches(READ_BATCH)


class Writer:
    """Takes rows in order; `done` says how many the file holds already."""

    def __init__(self, store: h5py.File) -> None:
        self._store = store
        self.done = int(store["done"][()])

    def append(self, rows: np.ndarray) -> None:
        """Write the next rows, in the precision of the cache; they may not cross from one fold to the next.

        Raises:
            UnfreezeError: A number is too large for that precision.
        """
        fold, start = "train", self.done
        if start >= len(self._store["train"]):
            fold, start = "val", start - len(self._store["train"])
        dataset = self._store[fold]
        with np.errstate(over="ignore"):
            narrowed = rows.astype(dataset.dtype)
        if np.isinf(narrowed).any() and not np.isinf(rows).any():
            raise UnfreezeError(
                f"activations of up to {np.abs(rows).max():.3g} do not fit into {dataset.dtype}: "
                "set extract.dtype=float32"
            )
        dataset[start : start + len(rows)] = narrowed
        # Rows first: a count that runs ahead of them would pass off nothing as activations.
        self._store.flush()
        self.done += len(rows)
        self._store["done"][()] = self.done


def room(path: Path, max_gb: float, *, copies: int) -> int:
    """Return how many bytes a cache may take: the limit, or what the disk has left for it.

    Args:
        path: The cache. What an interrupted run has taken for it already counts as left.
        max_gb: The limit, GB of 10^9 bytes.
        copies: How often it will be on the disk: DVC keeps a copy of its own of what it carries, where the file
            system cannot share one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = files.partial_of(path)
    taken = partial.stat().st_blocks * 512 if partial.exists() else 0
    return min(int(max_gb * 1e9), (shutil.disk_usage(path.parent).free + taken) // copies)


@contextmanager
def writing(path: Path, plan: Plan) -> Iterator[Writer]:
    """Open a cache for writing; it gets its name once it holds all rows.

    Args:
        path: The cache.
        plan: What it will hold. A partial file of the same plan is gone on with, any other is replaced.

    Yields:
        The writer; rows before `writer.done` are there.

    Raises:
        OSError: There is no room for the whole of it.
        UnfreezeError: Another process is writing it.
    """
    partial = files.partial_of(path)
    if not _is_begun(partial, plan):
        files.remove(partial)
        files.require_space(path.parent, plan.nbytes)
        _begin(partial, plan)
    with h5py.File(partial, "r+") as store:
        writer = Writer(store)
        if writer.done:
            log.info("going on with %s: %d of %d rows are there", path.name, writer.done, plan.rows)
        yield writer
        if writer.done != plan.rows:
            raise RuntimeError(f"{path} got {writer.done} rows, expected {plan.rows}")
    partial.replace(path)


def read(path: Path, expected: dict[str, str]) -> Features:
    """Open stored features; rows stay on disk until they are asked for.

    Args:
        path: The cache.
        expected: What they must be determined by, as far as the reader knows.

    Raises:
        UnfreezeError: The file is damaged, was not written to its end, or was made from other images or weights.
    """
    try:
        with h5py.File(path) as store:
            opened = _features_of(store, path)
            plan = opened.plan
            for name, digest in expected.items():
                found = plan.determined_by[name]
                if found != digest:
                    raise UnfreezeError(
                        f"{path} was made from other {name} ({found[:12]}, expected {digest[:12]}): "
                        "delete it and run `dvc repro` again"
                    )
            done = int(store["done"][()])
            if done != plan.rows:
                raise UnfreezeError(
                    f"{path} holds {done} rows, expected {plan.rows}: delete it and run `dvc repro` again"
                )
            return opened
    except DAMAGED as error:
        raise UnfreezeError(f"{path} is damaged ({error}): delete it and run `dvc repro` again") from error


def _begin(partial: Path, plan: Plan) -> None:
    partial.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(partial, "w") as store:
        for name in PLAIN:
            store.attrs[name] = getattr(plan, name)
        store.attrs["settings"] = plan.settings.model_dump_json()
        for name, digest in sorted(plan.determined_by.items()):
            store.attrs[PREFIX + name] = digest
        for name in FOLDS:
            fold: Fold = getattr(plan, name)
            if plan.stored:
                _placed(store, name, (len(fold), *plan.row_shape), plan.dtype)
            for part in OF_FOLD:
                store.create_dataset(f"{name}_{part}", data=getattr(fold, part))
        _placed(store, "done", (), "int64")
    # HDF5 leaves holes, which a disk that fills up meanwhile could no longer back.
    with partial.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, partial.stat().st_size)


def _plan_of(store: h5py.File) -> Plan:
    train, val = (Fold(*(store[f"{name}_{part}"][...] for part in OF_FOLD)) for name in FOLDS)
    return Plan(
        position=int(store.attrs["position"]),
        row_shape=tuple(store.attrs["row_shape"].tolist()),
        dtype=store.attrs["dtype"],
        train=train,
        val=val,
        classes=int(store.attrs["classes"]),
        determined_by={
            name.removeprefix(PREFIX): str(value) for name, value in store.attrs.items() if name.startswith(PREFIX)
        },
        settings=Settings.model_validate_json(store.attrs["settings"]),
        stored=bool(store.attrs["stored"]),
    )


def _features_of(store: h5py.File, path: Path) -> Features:
    plan = _plan_of(store)
    if not plan.stored:
        return Features(plan, None, None)
    return Features(plan, _rows(path, store["train"], plan.train), _rows(path, store["val"], plan.val))


def _rows(path: Path, dataset: h5py.Dataset, fold: Fold) -> Rows:
    offset = dataset.id.get_offset()
    if offset is None or path.stat().st_size < offset + dataset.nbytes:
        raise OSError(f"{dataset.name} is cut short")
    return Rows(path, offset, dataset.shape, dataset.dtype, fold.labels, fold.weights)


def _placed(store: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Create a contiguous dataset whose place on disk is fixed at once: writing rows changes no metadata."""
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    # The same rows must give the same bytes, whenever they are written.
    settings.set_obj_track_times(False)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER if shape else h5py.h5d.FILL_TIME_ALLOC)
    space = h5py.h5s.create_simple(shape) if shape else h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5d.create(store.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, dcpl=settings)


def _is_begun(partial: Path, plan: Plan) -> bool:
    """Tell whether a partial file follows the plan and can be read."""
    try:
        # As it will be opened: some damage shows only when a file that may be written is closed.
        with h5py.File(partial, "r+") as store:
            return _features_of(store, partial).plan.same_as(plan) and 0 <= int(store["done"][()]) <= plan.rows
    except BlockingIOError as error:
        raise UnfreezeError(f"{partial} is being written by another process: let that one end first") from error
    except DAMAGED:
        return False
