"""Cached activations: the output of a backbone at the cut, for the training and the validation fold.

The file is written in one pass, row after row, under a temporary name. Its datasets have their place on disk
from the start, so a killed process leaves a readable file, and the next run resumes it; and a reader that knows
where a dataset begins can stream its rows without HDF5.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.features.plan import OF_FOLD, Fold, Plan, Settings
from unfreeze.runtime.console import log

# Folds in the order in which their rows are written.
FOLDS = ("train", "val")
PREFIX = "determined_by."
READ_BATCH = 64
# Exceptions of h5py on files that are missing or whose bytes are damaged.
DAMAGED = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)
# Fields of a plan that are attributes of the file as they are.
PLAIN = ("position", "row_shape", "dtype", "classes", "stored")


@dataclass(frozen=True)
class Rows:
    """One fold's rows, consecutive in a file.

    Args:
        path: The file.
        offset: Offset of the first row in the file, bytes.
        shape: Number of rows, then the shape of one.
        dtype: Kind of number.
        labels: Class numbers, integer array of shape (rows,).
        weights: Sample weights in training, float array of shape (rows,).
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

    def iterate_batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield all rows in their order, `size` at a time."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            for start in range(0, len(self), size):
                shape = (min(size, len(self) - start), *self.shape[1:])
                yield np.fromfile(stream, self.dtype, int(np.prod(shape))).reshape(shape)


@dataclass(frozen=True)
class Features:
    """A complete cache.

    Args:
        plan: Its content.
        train: Rows of the training fold; None if they are not stored.
        val: Rows of the validation fold; None if they are not stored.
    """

    plan: Plan
    train: Rows | None
    val: Rows | None

    def iterate_batches(self) -> Iterator[np.ndarray]:
        """Yield the stored rows of both folds in the order they were written, some at a time."""
        for fold in (self.train, self.val):
            if fold is not None:
                yield from fold.iterate_batches(READ_BATCH)


class Writer:
    """Appends rows in order; `done` is the number of rows that the file holds already."""

    def __init__(self, store: h5py.File) -> None:
        self._store = store
        self.done = int(store["done"][()])

    def append(self, rows: np.ndarray) -> None:
        """Write the next rows, in the precision of the cache; they may not cross from one fold to the next.

        Args:
            rows: Array of shape (rows, *row shape of the plan).

        Raises:
            UnfreezeError: A number is too large for that precision.
        """
        fold, start = "train", self.done
        if start >= len(self._store["train"]):
            fold, start = "val", start - len(self._store["train"])
        dataset = self._store[fold]
        dataset[start : start + len(rows)] = narrow(rows, dataset.dtype)
        # Flush rows before the counter; otherwise a crash could mark unwritten rows as valid.
        self._store.flush()
        self.done += len(rows)
        self._store["done"][()] = self.done


def narrow(rows: np.ndarray, dtype: np.dtype | str) -> np.ndarray:
    """Return rows in the precision of a cache.

    Args:
        rows: Numbers.
        dtype: The precision.

    Raises:
        UnfreezeError: A number is too large for it.
    """
    with np.errstate(over="ignore"):
        narrowed = rows.astype(dtype)
    if np.isinf(narrowed).any() and not np.isinf(rows).any():
        raise UnfreezeError(
            f"activations of up to {np.abs(rows).max():.3g} do not fit into {np.dtype(dtype)}: "
            "set extract.dtype=float32"
        )
    return narrowed


def measure_room(path: Path, max_gb: float, *, copies: int) -> int:
    """Return how many bytes a cache may take: the limit, or what the disk has left for it.

    Args:
        path: The cache. The space that an interrupted run has taken for it counts as free.
        max_gb: The limit, GB of 10^9 bytes.
        copies: How many times it will be on the disk: DVC keeps a copy where the file system cannot share one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = files.name_partial(path)
    taken = partial.stat().st_blocks * 512 if partial.exists() else 0
    return min(int(max_gb * 1e9), (shutil.disk_usage(path.parent).free + taken) // copies)


@contextmanager
def open_writer(path: Path, plan: Plan) -> Iterator[Writer]:
    """Open a cache for writing; it gets its name when it holds all rows.

    Args:
        path: The cache.
        plan: Its content. A partial file of the same plan is resumed, any other is replaced.

    Yields:
        The writer; the rows before `writer.done` are written already.

    Raises:
        OSError: The disk has no room for all of it.
        UnfreezeError: Another process is writing it.
    """
    partial = files.name_partial(path)
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
    """Open stored features; rows stay on disk until they are read.

    Args:
        path: The cache.
        expected: Digests that they must be determined by, as far as the reader knows them.

    Raises:
        UnfreezeError: The file is damaged, was not written to its end, or was made from other images or weights.
    """
    try:
        with h5py.File(path) as store:
            opened = _build_features(store, path)
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
                _allocate(store, name, (len(fold), *plan.row_shape), plan.dtype)
            for part in OF_FOLD:
                store.create_dataset(f"{name}_{part}", data=getattr(fold, part))
        _allocate(store, "done", (), "int64")
    # HDF5 leaves the file sparse; allocate it, so that a disk that fills up meanwhile cannot break it.
    with partial.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, partial.stat().st_size)


def _read_plan(store: h5py.File) -> Plan:
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


def _build_features(store: h5py.File, path: Path) -> Features:
    plan = _read_plan(store)
    if not plan.stored:
        return Features(plan, None, None)
    return Features(plan, _build_rows(path, store["train"], plan.train), _build_rows(path, store["val"], plan.val))


def _build_rows(path: Path, dataset: h5py.Dataset, fold: Fold) -> Rows:
    offset = dataset.id.get_offset()
    if offset is None or path.stat().st_size < offset + dataset.nbytes:
        raise OSError(f"{dataset.name} is cut short")
    return Rows(path, offset, dataset.shape, dataset.dtype, fold.labels, fold.weights)


def _allocate(store: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """Create a contiguous dataset that is allocated at once, so that writing rows changes no metadata."""
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
        # In both modes in which it will be opened: some damage shows only to readers, some when a writer closes it.
        return all(_follows(partial, mode, plan) for mode in ("r", "r+"))
    except BlockingIOError as error:
        raise UnfreezeError(f"{partial} is being written by another process: let that one end first") from error
    except DAMAGED:
        return False


def _follows(partial: Path, mode: str, plan: Plan) -> bool:
    with h5py.File(partial, mode) as store:
        return _build_features(store, partial).plan.is_same_as(plan) and 0 <= int(store["done"][()]) <= plan.rows
