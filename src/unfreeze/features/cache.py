"""Cached activations: the output of a backbone at the cut, for the training and the validation fold.

The file is written in one pass, row after row, under a temporary name. Its rows have their place on disk from the
start, so a killed process leaves a readable file, and the next run resumes it; and a reader that knows where rows are
can stream them without HDF5. Past a size the rows are in shard files beside it.
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
from unfreeze.images import shard_files
from unfreeze.images.row_files import RowFiles, locate, require_whole
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
    """One fold's rows.

    Args:
        stored: Where they are.
        labels: Class numbers, integer array of shape (rows,).
        weights: Sample weights in training, float array of shape (rows,).
    """

    stored: RowFiles
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.stored)

    def iterate_batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield all rows in their order, `size` at a time."""
        return self.stored.read_batches(range(len(self)), size)


@dataclass(frozen=True)
class Features:
    """A complete cache.

    Args:
        plan: Its content.
        stored: Where the rows of both folds are, those for training first; empty if they are not stored.
    """

    plan: Plan
    stored: RowFiles

    @property
    def train(self) -> Rows | None:
        """Rows of the training fold; None if they are not stored."""
        return self._take(self.plan.train, 0)

    @property
    def val(self) -> Rows | None:
        """Rows of the validation fold; None if they are not stored."""
        return self._take(self.plan.val, len(self.plan.train))

    def _take(self, fold: Fold, first: int) -> Rows | None:
        if not self.plan.stored:
            return None
        return Rows(self.stored.take(first, first + len(fold)), fold.labels, fold.weights)

    def iterate_batches(self) -> Iterator[np.ndarray]:
        """Yield the stored rows of both folds in the order they were written, some at a time."""
        for fold in (self.train, self.val):
            if fold is not None:
                yield from fold.iterate_batches(READ_BATCH)


class Writer:
    """Appends rows in order; `done` is the number of rows that the file holds already."""

    def __init__(self, store: h5py.File, stored: RowFiles) -> None:
        self._store = store
        self._stored = stored
        self.done = int(store["done"][()])

    def append(self, rows: np.ndarray) -> None:
        """Write the next rows, in the precision of the cache.

        Args:
            rows: Array of shape (rows, *row shape of the plan).

        Raises:
            UnfreezeError: A number is too large for that precision.
        """
        # Rows before the counter; otherwise a crash could mark unwritten rows as valid.
        self._stored.write(self.done, narrow(rows, self._stored.dtype))
        self.done += len(rows)
        self._store["done"][()] = self.done
        self._store.flush()


def narrow(rows: np.ndarray, dtype: np.dtype | str) -> np.ndarray:
    """Return rows in the precision of a cache.

    Args:
        rows: Numbers.
        dtype: The precision.

    Raises:
        UnfreezeError: A number is too large for it.
    """
    if rows.dtype == dtype:
        return rows
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
    begun = [file for file in (partial, *shard_files.name_folder(partial).glob("*")) if file.exists()]
    taken = sum(file.stat().st_blocks * 512 for file in begun)
    return min(int(max_gb * 1e9), (shutil.disk_usage(path.parent).free + taken) // copies)


@contextmanager
def open_writer(path: Path, plan: Plan, max_file_bytes: int | None = None) -> Iterator[Writer]:
    """Open a cache for writing; it gets its name when it holds all rows.

    Args:
        path: The cache.
        plan: Its content. A partial file of the same plan is resumed, any other is replaced.
        max_file_bytes: Most bytes of rows in a file: more are put into shard files. None for one file in any case.

    Yields:
        The writer; the rows before `writer.done` are written already.

    Raises:
        OSError: The disk has no room for all of it.
        UnfreezeError: Another process is writing it.
    """
    partial = files.name_partial(path)
    rows_per_file = shard_files.count_rows_per_file(plan.rows, plan.row_bytes, max_file_bytes)
    if not _is_begun(partial, plan, rows_per_file):
        files.remove(partial)
        files.remove(shard_files.name_folder(partial))
        _begin(partial, plan, rows_per_file)
    with h5py.File(partial, "r+") as store:
        stored = _locate_rows(store, plan)
        writer = Writer(store, stored)
        if writer.done:
            log.info("going on with %s: %d of %d rows are there", path.name, writer.done, plan.rows)
        yield writer
        if writer.done != plan.rows:
            raise RuntimeError(f"{path} got {writer.done} rows, expected {plan.rows}")
        if rows_per_file is not None:
            shard_files.finish_shards(store, stored)
    if max_file_bytes is not None:
        shard_files.publish(partial, path)
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
            plan = _read_plan(store)
            stored = _locate_rows(store, plan)
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
    except DAMAGED as error:
        raise UnfreezeError(f"{path} is damaged ({error}): delete it and run `dvc repro` again") from error
    require_whole(stored.pieces)
    return Features(plan, stored)


def _begin(partial: Path, plan: Plan, rows_per_file: int | None) -> None:
    partial.parent.mkdir(parents=True, exist_ok=True)
    if rows_per_file is None:
        files.require_space(partial.parent, plan.nbytes)
    with h5py.File(partial, "w") as store:
        for name in PLAIN:
            store.attrs[name] = getattr(plan, name)
        store.attrs["settings"] = plan.settings.model_dump_json()
        for name, digest in sorted(plan.determined_by.items()):
            store.attrs[PREFIX + name] = digest
        for name in FOLDS:
            fold: Fold = getattr(plan, name)
            if plan.stored and rows_per_file is None:
                _allocate(store, name, (len(fold), *plan.row_shape), plan.dtype)
            for part in OF_FOLD:
                store.create_dataset(f"{name}_{part}", data=getattr(fold, part))
        _allocate(store, "done", (), "int64")
        if rows_per_file is not None:
            shard_files.begin_shards(store, rows_per_file, plan.rows, plan.row_shape, plan.dtype)
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


def _locate_rows(store: h5py.File, plan: Plan) -> RowFiles:
    """Return where the rows of both folds are, those for training first."""
    if shard_files.SHARDS in store:
        return shard_files.list_shards(store, plan.rows, plan.row_shape, plan.dtype)
    pieces = []
    for name in FOLDS if plan.stored else ():
        dataset, shape = store[name], (len(getattr(plan, name)), *plan.row_shape)
        if (dataset.shape, dataset.dtype) != (shape, plan.dtype):
            raise ValueError(f"{name} has shape {dataset.shape} of {dataset.dtype}, expected {shape} of {plan.dtype}")
        pieces += locate(dataset)
    return RowFiles(tuple(pieces), plan.row_shape, np.dtype(plan.dtype))


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


def _is_begun(partial: Path, plan: Plan, rows_per_file: int | None) -> bool:
    """Tell whether a partial file follows the plan and can be read."""
    try:
        # In both modes in which it will be opened: some damage shows only to readers, some when a writer closes it.
        return all(_follows(partial, mode, plan, rows_per_file) for mode in ("r", "r+"))
    except BlockingIOError as error:
        raise UnfreezeError(f"{partial} is being written by another process: let that one end first") from error
    except DAMAGED:
        return False


def _follows(partial: Path, mode: str, plan: Plan, rows_per_file: int | None) -> bool:
    with h5py.File(partial, mode) as store:
        found = _read_plan(store)
        stored = _locate_rows(store, found)
        return (
            found.is_same_as(plan)
            and store.attrs.get(shard_files.ROWS_PER_FILE) == rows_per_file
            and (rows_per_file is None or shard_files.is_begun(stored))
            and 0 <= int(store["done"][()]) <= plan.rows
        )
