"""Shard files: past a size rows are in several files beside an HDF5 file, which is then their small index.

The index holds the SHA-256 of each. HDF5's virtual datasets are not used: they read a missing file as zeros.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from unfreeze import files
from unfreeze.images.row_files import Piece, RowFiles
from unfreeze.runtime.processors import count_processors

# In the index: digests of the shard files, and the number of rows in each but the last.
SHARDS, ROWS_PER_FILE = "shards", "rows_per_file"


def name_folder(index: Path) -> Path:
    """Return the folder of an index's shard files.

    >>> name_folder(Path("data/images.h5")).as_posix()
    'data/images.shards'
    """
    return index.with_suffix(".shards")


def list_shards(store: h5py.File, rows: int, row_shape: tuple[int, ...], dtype: np.dtype | str) -> RowFiles:
    """Return where the rows of an index are: in its shard files.

    Args:
        store: The index.
        rows: Number of all rows.
        row_shape: Shape of a row.
        dtype: Kind of number.
    """
    folder, size = name_folder(Path(store.filename)), int(store.attrs[ROWS_PER_FILE])
    pieces = [
        Piece(folder / f"{number:05}.rows", 0, min(size, rows - number * size), digest.decode())
        for number, digest in enumerate(store[SHARDS][...])
    ]
    if sum(piece.rows for piece in pieces) != rows:
        raise ValueError(f"{len(pieces)} shard files of {size} rows are not {rows} rows")
    return RowFiles(tuple(pieces), row_shape, np.dtype(dtype))


def count_rows_per_file(rows: int, row_bytes: int, max_bytes: int | None) -> int | None:
    """Return how many rows a shard file takes; None where all rows are to be in the HDF5 file.

    Args:
        rows: Number of all rows.
        row_bytes: Size of one.
        max_bytes: Most bytes of rows a file; None for any number.

    >>> count_rows_per_file(10, 4, 40), count_rows_per_file(11, 4, 40)
    (None, 10)
    """
    return None if max_bytes is None or rows * row_bytes <= max_bytes else max(max_bytes // row_bytes, 1)


def begin_shards(
    store: h5py.File, rows_per_file: int, rows: int, row_shape: tuple[int, ...], dtype: np.dtype | str
) -> RowFiles:
    """Write into an index what its shard files are, and give these their room on the disk, so that it cannot fill up.

    Args:
        store: The index.
        rows_per_file: Rows of each file but the last.
        rows: Number of all rows.
        row_shape: Shape of a row.
        dtype: Kind of number.

    Raises:
        OSError: The disk has no room; then none of it is taken.
    """
    store.attrs[ROWS_PER_FILE] = rows_per_file
    store.create_dataset(SHARDS, data=np.zeros(-(-rows // rows_per_file), "S64"))
    shards = list_shards(store, rows, row_shape, dtype)
    folder = name_folder(Path(store.filename))
    files.remove(folder)
    folder.mkdir()
    try:
        for piece in shards.pieces:
            with piece.path.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, piece.rows * shards.row_bytes)
    except OSError:
        files.remove(folder)
        raise
    return shards


def is_begun(shards: RowFiles) -> bool:
    """Tell whether all shard files have their room."""
    return all(
        piece.path.exists() and piece.path.stat().st_size == piece.rows * shards.row_bytes for piece in shards.pieces
    )


def finish_shards(store: h5py.File, shards: RowFiles) -> None:
    """Write the digests of all shard files into their index."""
    with ThreadPoolExecutor(count_processors()) as pool:
        digests = list(pool.map(files.hash_file, [piece.path for piece in shards.pieces]))
    store[SHARDS][...] = np.array(digests, "S64")


def publish(partial: Path, index: Path) -> None:
    """Move the shard files to where readers of their index look; where there are none, the folder lists none.

    Args:
        partial: The index under its temporary name.
        index: The name that it gets next.
    """
    folder, target = name_folder(partial), name_folder(index)
    folder.mkdir(exist_ok=True)
    # DVC warns of an empty folder.
    files.write_json(folder / "files.json", sorted(path.name for path in folder.glob("*.rows")))
    files.remove(target)
    folder.replace(target)
