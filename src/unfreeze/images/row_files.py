"""Where rows of one shape are in files, and how they are read and written there, without HDF5."""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path

import h5py
import numpy as np

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime.processors import count_processors


@dataclass(frozen=True)
class Piece:
    """Rows that follow each other in a file.

    Args:
        path: The file.
        offset: Where the first row begins, bytes.
        rows: Number of rows.
        sha256: Digest of the whole file; empty for an HDF5 file, and for a shard file that is being written.
    """

    path: Path
    offset: int
    rows: int
    sha256: str = ""


@dataclass(frozen=True)
class RowFiles:
    """Where rows are.

    Args:
        pieces: In the order of the rows.
        row_shape: Shape of a row.
        dtype: Kind of number.
    """

    pieces: tuple[Piece, ...]
    row_shape: tuple[int, ...]
    dtype: np.dtype

    @functools.cached_property
    def ends(self) -> np.ndarray:
        """The row number after the last row of each piece, int64 array."""
        return np.cumsum([piece.rows for piece in self.pieces], dtype=np.int64)

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.pieces else 0

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return int(np.prod(self.row_shape)) * self.dtype.itemsize

    def find(self, start: int, stop: int) -> list[Piece]:
        """Return the pieces that hold the rows from one number up to another, cut to these rows."""
        found = []
        number = int(np.searchsorted(self.ends, start, side="right"))
        while start < stop:
            piece = self.pieces[number]
            skipped = start - (int(self.ends[number]) - piece.rows)
            taken = min(piece.rows - skipped, stop - start)
            found.append(replace(piece, offset=piece.offset + skipped * self.row_bytes, rows=taken))
            start, number = start + taken, number + 1
        return found

    def take(self, start: int, stop: int) -> "RowFiles":
        """Return the rows from one number up to another."""
        return replace(self, pieces=tuple(self.find(start, stop)))

    def read_batches(self, rows: Sequence[int] | np.ndarray, size: int) -> Iterator[np.ndarray]:
        """Yield some rows, in their order.

        Args:
            rows: Row numbers, from 0.
            size: Most rows a batch.

        Yields:
            Arrays of shape (rows, *row shape).

        Raises:
            UnfreezeError: A file is missing or damaged.
        """
        numbers = np.asarray(rows, np.int64)
        require_whole([self.pieces[place] for place in np.unique(np.searchsorted(self.ends, numbers, side="right"))])
        with ExitStack() as stack:
            streams: dict[Path, BufferedReader] = {}
            for start in range(0, len(numbers), size):
                batch = numbers[start : start + size]
                found = np.empty((len(batch), *self.row_shape), self.dtype)
                done = 0
                # One read for rows that follow each other.
                for run in np.split(batch, np.flatnonzero(np.diff(batch) != 1) + 1):
                    for piece in self.find(int(run[0]), int(run[-1]) + 1):
                        if piece.path not in streams:
                            streams[piece.path] = stack.enter_context(piece.path.open("rb"))
                        _fill(found[done : done + piece.rows], streams[piece.path], piece)
                        done += piece.rows
                yield found

    def read(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return some rows in their order: an array of shape (rows, *row shape)."""
        return next(self.read_batches(rows, max(len(rows), 1)), np.empty((0, *self.row_shape), self.dtype))

    def write(self, start: int, rows: np.ndarray) -> None:
        """Overwrite the rows from a number on.

        Args:
            start: Number of the first one.
            rows: Array of shape (rows, *row shape).
        """
        done = 0
        for piece in self.find(start, start + len(rows)):
            with piece.path.open("r+b") as stream:
                stream.seek(piece.offset)
                stream.write(np.ascontiguousarray(rows[done : done + piece.rows], self.dtype).data)
            done += piece.rows


def require_whole(pieces: Sequence[Piece]) -> None:
    """Refuse shard files that are not as they were written; a process reads each of them through once.

    Args:
        pieces: Their rows, or some of them.

    Raises:
        UnfreezeError: A file is missing, damaged, or of another run.
    """
    digests = {piece.path: piece.sha256 for piece in pieces if piece.sha256}
    if digests:
        with ThreadPoolExecutor(count_processors()) as pool:
            list(pool.map(_require_digest, digests, digests.values()))


def locate(dataset: h5py.Dataset) -> list[Piece]:
    """Return where the rows of an uncompressed dataset are in its file.

    Args:
        dataset: Contiguous, or in chunks of whole rows.

    Raises:
        OSError: The file is cut short.
    """
    path, count = Path(dataset.file.filename), len(dataset)
    found: list[tuple[int, int]] = []
    if dataset.chunks is None:
        size, offset = count, dataset.id.get_offset()
        found += [] if offset is None else [(0, offset)]
    else:
        size = dataset.chunks[0]
        dataset.id.chunk_iter(lambda chunk: found.append((chunk.chunk_offset[0], chunk.byte_offset)))
    pieces = [Piece(path, offset, min(size, count - first)) for first, offset in sorted(found)]
    row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
    end = max((piece.offset + piece.rows * row_bytes for piece in pieces), default=0)
    if sum(piece.rows for piece in pieces) != count or path.stat().st_size < end:
        raise OSError(f"{dataset.name} is cut short")
    return pieces


def _require_digest(path: Path, sha256: str) -> None:
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise UnfreezeError(f"{path} is missing: run `dvc repro` again") from error
    received = _hash_once(path, found.st_ino, found.st_size, found.st_mtime_ns)
    if received != sha256:
        raise UnfreezeError(
            f"{path} is damaged or of another run (sha256 {received[:12]}, its index says {sha256[:12]}): delete it "
            "and run `dvc repro` again"
        )


@functools.cache
def _hash_once(path: Path, inode: int, size: int, changed_ns: int) -> str:
    """Return the digest of a file that is the same while these numbers are."""
    return files.hash_file(path)


def _fill(target: np.ndarray, stream: BufferedReader, piece: Piece) -> None:
    stream.seek(piece.offset)
    if stream.readinto(target.data) != target.nbytes:
        raise UnfreezeError(f"{piece.path} is cut short: delete it and run `dvc repro` again")
