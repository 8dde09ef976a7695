"""Cached activations: what a backbone gives at the cut, for the training and the validation fold.

The file is written in one pass, row after row, under a temporary name. Its datasets have their place on disk
from the start, so a killed process leaves a readable file, and the next run goes on where that one stopped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from unfreeze import files
from unfreeze.console import log
from unfreeze.errors import UnfreezeError

# Folds in the order in which their rows are written.
FOLDS = ("train", "val")
PREFIX = "determined_by."
READ_BATCH = 64


class Runner(Protocol):
    """Anything that maps rows to rows."""

    def run_array(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Plan:
    """What a cache will hold, known before the work.

    Args:
        position: Where the backbone is cut, in `backbone.operations`; 0 holds the uint8 pixels themselves.
        row_shape: Shape of one image's activations.
        dtype: float16 or uint8.
        train_labels: Class numbers; all images of a view follow each other.
        val_labels: Class numbers.
        classes: Number of classes.
        determined_by: What the activations depend on: digests of the images, the weights and the settings.
    """

    position: int
    row_shape: tuple[int, ...]
    dtype: str
    train_labels: np.ndarray
    val_labels: np.ndarray
    classes: int
    determined_by: dict[str, str]

    @property
    def rows(self) -> int:
        """Number of rows of both folds."""
        return len(self.train_labels) + len(self.val_labels)

    @property
    def nbytes(self) -> int:
        """Size of the activations on disk."""
        return self.rows * int(np.prod(self.row_shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Features:
    """Activations of the two folds that training may see.

    Args:
        position: Where the backbone was cut, in `backbone.operations`; 0 holds the uint8 pixels themselves.
        train: Shape (views * images, ...), float16 or uint8; all images of a view follow each other.
        train_labels: Class numbers, one a row of `train`.
        val: Shape (images, ...).
        val_labels: Class numbers, one a row of `val`.
        classes: Number of classes.
    """

    position: int
    train: np.ndarray
    train_labels: np.ndarray
    val: np.ndarray
    val_labels: np.ndarray
    classes: int

    def through(self, engine: Runner, *, position: int | None = None) -> "Features":
        """Return the features after some more frozen layers, in half precision as they are stored."""
        return replace(
            self,
            position=self.position if position is None else position,
            train=engine.run_array(self.train).astype("float16"),
            val=engine.run_array(self.val).astype("float16"),
        )


class Writer:
    """Takes rows in order; `done` says how many the file holds already."""

    def __init__(self, store: h5py.File) -> None:
        self._store = store
        self.done = int(store["done"][()])

    def append(self, rows: np.ndarray) -> None:
        """Write the next rows; they may not cross from one fold to the next."""
        fold, start = "train", self.done
        if start >= len(self._store["train"]):
            fold, start = "val", start - len(self._store["train"])
        self._store[fold][start : start + len(rows)] = rows
        # Rows first: a count that runs ahead of them would pass off nothing as activations.
        self._store.flush()
        self.done += len(rows)
        self._store["done"][()] = self.done


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
    """
    partial = path.with_name(f".partial-{path.name}")
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
    """Read stored features.

    Args:
        path: The cache.
        expected: What they must be determined by, as far as the reader knows.

    Raises:
        UnfreezeError: The file is damaged, or it was made from other images or weights.
    """
    try:
        with h5py.File(path) as store:
            for name, digest in expected.items():
                found = str(store.attrs[PREFIX + name])
                if found != digest:
                    raise UnfreezeError(
                        f"{path} was made from other {name} ({found[:12]}, expected {digest[:12]}): "
                        "delete it and run `dvc repro` again"
                    )
            arrays = {name: store[name][...] for name in ("train", "train_labels", "val", "val_labels")}
            return Features(position=int(store.attrs["position"]), classes=int(store.attrs["classes"]), **arrays)
    except (OSError, KeyError) as error:
        raise UnfreezeError(f"{path} is damaged ({error}): delete it and run `dvc repro` again") from error


def batches(path: Path) -> Iterator[np.ndarray]:
    """Yield all rows in the order they were written, some at a time."""
    with h5py.File(path) as store:
        for fold in FOLDS:
            for start in range(0, len(store[fold]), READ_BATCH):
                yield store[fold][start : start + READ_BATCH]


def _begin(partial: Path, plan: Plan) -> None:
    partial.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(partial, "w") as store:
        store.attrs["position"] = plan.position
        store.attrs["classes"] = plan.classes
        for name, digest in sorted(plan.determined_by.items()):
            store.attrs[PREFIX + name] = digest
        for fold, labels in zip(FOLDS, (plan.train_labels, plan.val_labels), strict=True):
            _placed(store, fold, (len(labels), *plan.row_shape), plan.dtype)
            store.create_dataset(f"{fold}_labels", data=labels)
        _placed(store, "done", (), "int64")


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
        with h5py.File(partial) as store:
            determined_by = {
                name.removeprefix(PREFIX): str(value)
                for name, value in store.attrs.items()
                if name.startswith(PREFIX)
            }
            return (
                determined_by == plan.determined_by
                and store["train"].shape == (len(plan.train_labels), *plan.row_shape)
                and np.array_equal(store["val_labels"][...], plan.val_labels)
                and 0 <= int(store["done"][()]) <= plan.rows
            )
    except (OSError, KeyError):
        return False
