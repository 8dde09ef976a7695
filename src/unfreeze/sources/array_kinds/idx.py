"""MNIST's own files: train-images-idx3-ubyte and its relatives, packed by gzip or not."""

import gzip
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np

from unfreeze.sources.array_kind import ArrayKind, Part, Stored, UnclearError, register
from unfreeze.sources.array_pairs import pair_arrays

# The names that http://yann.lecun.com/exdb/mnist and its relatives give: rank and type are part of them.
NAME = re.compile(r"(?P<stem>.+)[-.]idx[1-4][-.]ubyte(?P<packed>\.gz)?$")
# The only type that images come in: unsigned bytes.
UNSIGNED_BYTE = 8
BLOCK = 4096


def find_idx(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are named as MNIST's; of one that is there packed and unpacked, the unpacked one."""
    named = {path: found for path in paths if (found := NAME.match(path.name)) and path.is_file()}
    unpacked = {found["stem"] for found in named.values() if not found["packed"]}
    return [path for path, found in named.items() if not found["packed"] or found["stem"] not in unpacked]


def read_idx(paths: Sequence[Path]) -> list[Part]:
    """Read files of images and of labels, which their names tell apart."""
    if len(paths) == 1:
        raise UnclearError(f"{paths[0].name} is one file: give the folder with the images and the labels")
    return pair_arrays([_describe_file(path) for path in paths])


def _describe_file(path: Path) -> Stored:
    found = NAME.match(path.name)
    assert found is not None
    with _open(path) as stream:
        shape = _read_shape(stream, path)
    # Before fold and role comes the set's name, as in emnist-letters-train-images.
    name = "-".join(found["stem"].split("-")[-2:])
    return Stored(name, shape, np.dtype(np.uint8), partial(_read_blocks, path, shape))


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _read_shape(stream: IO[bytes], path: Path) -> tuple[int, ...]:
    """Read the header: two zeros, the type, the rank, and the length of each axis, 32 bits, big endian."""
    try:
        start = stream.read(4)
        sizes = stream.read(4 * start[3]) if len(start) == 4 else b""
    except (OSError, EOFError) as error:
        raise UnclearError(f"{path.name} is damaged ({error})") from error
    if start[:3] != bytes([0, 0, UNSIGNED_BYTE]) or len(sizes) != 4 * start[3]:
        raise UnclearError(f"{path.name} begins with {start!r} and not as a file of MNIST's with unsigned bytes")
    return tuple(int(size) for size in np.frombuffer(sizes, ">u4"))


def _read_blocks(path: Path, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    row_bytes = int(np.prod(shape[1:], dtype=np.int64))
    try:
        with _open(path) as stream:
            _read_shape(stream, path)
            for start in range(0, shape[0], BLOCK):
                count = min(BLOCK, shape[0] - start)
                content = stream.read(count * row_bytes)
                if len(content) < count * row_bytes:
                    raise UnclearError(f"{path.name} is cut short")
                yield np.frombuffer(content, np.uint8).reshape((count, *shape[1:]))
            if stream.read(1):
                raise UnclearError(f"{path.name} is longer than its header says")
    except (OSError, EOFError) as error:
        raise UnclearError(f"{path.name} is damaged ({error})") from error


register(ArrayKind("idx", find_idx, read_idx))
