"""The image store: every checked image, decoded and resized once, in one HDF5 file, or in shard files beside it."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.images import shard_files
from unfreeze.images.decoding import RESIZE, Undecodable, load_rgb
from unfreeze.images.originals import Originals
from unfreeze.images.row_files import RowFiles, locate
from unfreeze.runtime import console
from unfreeze.runtime.processors import count_processors
from unfreeze.runtime.remote_folder import THREADS, RemoteFolder

# Images a write: few enough that memory stays flat.
BLOCK = 256
# Images that a thread decodes in one task; also one chunk of the file.
RUN = 16


@dataclass(frozen=True)
class Images:
    """Description of an image store; the pixels stay in the file.

    Args:
        ids: Identifier of each image: its path below data/raw.
        labels: int64 array of shape (images,): class number of each image.
        weights: float32 array of shape (images,): how much each image counts in training.
        classes: Class names by number.
        size: Side, pixels.
        manifest_sha256: Digest of the manifest the store was made from.
        resize: How images were brought to their size.
    """

    ids: list[str]
    labels: np.ndarray
    weights: np.ndarray
    classes: list[str]
    size: int
    manifest_sha256: str
    resize: str

    @property
    def digest(self) -> str:
        """SHA-256 of everything that determines the pixels."""
        return hashlib.sha256(f"{self.manifest_sha256} {self.size} {self.resize}".encode()).hexdigest()

    def find_rows(self, folds: pd.DataFrame, fold: str) -> np.ndarray:
        """Return the row numbers of a fold, ascending.

        Args:
            folds: The split: `id` and `fold` of each image.
            fold: train, val or test.
        """
        members = set(folds.loc[folds["fold"] == fold, "id"])
        return np.array([row for row, name in enumerate(self.ids) if name in members], dtype=np.int64)


def write(
    path: Path,
    root: Path,
    ids: Sequence[str],
    labels: Sequence[str],
    *,
    size: int,
    max_pixels: int,
    manifest_sha256: str,
    weights: Sequence[float] | None = None,
    pixels: Iterable[np.ndarray] | None = None,
    max_file_bytes: int | None = None,
) -> None:
    """Stream images into the store.

    Args:
        path: The store.
        root: Folder that the ids are relative to.
        ids: Paths of readable images.
        labels: Class name of each image.
        size: Side, pixels.
        max_pixels: Most pixels an image may have, width times height.
        manifest_sha256: Digest of the manifest.
        weights: How much each image counts in training; all the same by default.
        pixels: The images in their order, as `decode_blocks` yields them, which decodes them by default.
        max_file_bytes: Most bytes of pixels in a file: more are put into shard files. None for one file in any case.

    Raises:
        UnfreezeError: An image cannot be decoded.
    """
    classes, numbers = np.unique(np.array(labels, dtype=object), return_inverse=True)
    rows_per_file = shard_files.count_rows_per_file(len(ids), size * size * 3, max_file_bytes)
    with files.atomic(path) as partial, ExitStack() as stack:
        stack.callback(files.remove, shard_files.name_folder(partial))
        with h5py.File(partial, "w") as store:
            blocks = decode_blocks(Originals(root), ids, size, max_pixels) if pixels is None else pixels
            if rows_per_file is None:
                files.require_space(path.parent, len(ids) * size * size * 3)
                _write_blocks(_allocate(store, len(ids), size), blocks, len(ids))
            else:
                shards = shard_files.begin_shards(store, rows_per_file, len(ids), (size, size, 3), "uint8")
                _write_blocks(shards.write, blocks, len(ids))
                shard_files.finish_shards(store, shards)
            store.create_dataset("labels", data=numbers.astype(np.int64))
            store.create_dataset("weights", data=np.ones(len(ids)) if weights is None else weights, dtype="float32")
            store.create_dataset("ids", data=list(ids), dtype=h5py.string_dtype())
            # A dataset, since an attribute holds at most a few thousand names.
            store.create_dataset("classes", data=classes.tolist(), dtype=h5py.string_dtype())
            store.attrs["size"] = size
            store.attrs["manifest_sha256"] = manifest_sha256
            store.attrs["resize"] = RESIZE
        if max_file_bytes is not None:
            shard_files.publish(partial, path)


def _allocate(store: h5py.File, count: int, size: int) -> Callable[[int, np.ndarray], None]:
    """Make the dataset of pixels; return what writes images into it, from a number on."""
    # One run of images a chunk: compared with one image a chunk, reads in order are twice as fast and shuffled ones a
    # third faster. Compression makes both ten times slower and saves a tenth of the disk.
    chunks = (min(RUN, count), size, size, 3)
    pixels = store.create_dataset("images", (count, size, size, 3), "uint8", chunks=chunks)
    return lambda start, block: pixels.__setitem__(slice(start, start + len(block)), block)


def _write_blocks(write_rows: Callable[[int, np.ndarray], None], blocks: Iterable[np.ndarray], count: int) -> None:
    start = 0
    with console.progress("decoding images", count) as advance:
        for block in blocks:
            write_rows(start, block)
            start += len(block)
            advance(len(block))


def decode_blocks(images: Originals, names: Sequence[str], size: int, max_pixels: int) -> Iterator[np.ndarray]:
    """Decode images in threads; the next block is decoded while the caller writes one.

    Args:
        images: The files.
        names: Their paths.
        size: Side, pixels.
        max_pixels: Most pixels an image may have, width times height.

    Yields:
        uint8 arrays of shape (images, size, size, 3), of `BLOCK` images.

    Raises:
        UnfreezeError: An image cannot be decoded, or one that is read in place has changed.
    """
    # Over a network an image is mostly waited for.
    threads = THREADS if isinstance(images.root, RemoteFolder) else count_processors()
    with ThreadPoolExecutor(threads) as pool:
        yield from _decode_in(pool, images, names, size, max_pixels)


def _decode_in(
    pool: ThreadPoolExecutor, images: Originals, names: Sequence[str], size: int, max_pixels: int
) -> Iterator[np.ndarray]:
    def submit(start: int) -> tuple[np.ndarray, list[Future[None]]]:
        """Start to decode a block, in threads: decoders release Python's lock while they work."""
        block_names = names[start : start + BLOCK]
        block = np.empty((len(block_names), size, size, 3), np.uint8)
        return block, [
            pool.submit(_fill, block[run : run + RUN], images, block_names[run : run + RUN], max_pixels)
            for run in range(0, len(block), RUN)
        ]

    waiting = submit(0) if names else None
    for start in range(0, len(names), BLOCK):
        assert waiting
        block, running = waiting
        if start + BLOCK < len(names):
            waiting = submit(start + BLOCK)
        for future in running:
            future.result()
        yield block


def _fill(block: np.ndarray, images: Originals, names: Sequence[str], max_pixels: int) -> None:
    for target, name in zip(block, names, strict=True):
        try:
            target[...] = load_rgb(images.read(name), len(target), max_pixels=max_pixels)
        except Undecodable as error:
            raise UnfreezeError(
                f"{images.root / name} cannot be decoded ({error}): run `dvc repro --force check` to see what is "
                "wrong with it"
            ) from error


def describe(path: Path) -> Images:
    """Read everything but the pixels.

    Args:
        path: The store.

    Raises:
        UnfreezeError: The file is damaged.
    """
    with _open(path) as store:
        return Images(
            ids=[name.decode() for name in store["ids"][...]],
            labels=store["labels"][...],
            weights=store["weights"][...],
            classes=[name.decode() for name in store["classes"][...]],
            size=int(store.attrs["size"]),
            manifest_sha256=str(store.attrs["manifest_sha256"]),
            resize=str(store.attrs["resize"]),
        )


def read_batches(path: Path, rows: Sequence[int] | np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yield the pixels of some rows, in their order.

    Args:
        path: The store.
        rows: Row numbers.
        batch_size: Most rows a batch.

    Yields:
        uint8 arrays of shape (rows, size, size, 3).

    Raises:
        UnfreezeError: A file is missing or damaged.
    """
    yield from _locate_pixels(path).read_batches(rows, batch_size)


def read_pixels(path: Path, rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the pixels of a few rows, in their order: uint8 of shape (rows, size, size, 3)."""
    return _locate_pixels(path).read(rows)


def _locate_pixels(path: Path) -> RowFiles:
    with _open(path) as store:
        if shard_files.SHARDS in store:
            size = int(store.attrs["size"])
            return shard_files.list_shards(store, len(store["ids"]), (size, size, 3), "uint8")
        pixels = store["images"]
        return RowFiles(tuple(locate(pixels)), pixels.shape[1:], pixels.dtype)


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path) as store:
            yield store
    except (OSError, KeyError, ValueError) as error:
        raise UnfreezeError(f"{path} is damaged ({error}): delete it and run `dvc repro` again") from error
