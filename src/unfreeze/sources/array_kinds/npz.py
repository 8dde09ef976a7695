"""NumPy's arrays: `.npz`, such as Keras' mnist.npz and MedMNIST, and pairs of `.npy` such as X.npy and y.npy."""

import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from unfreeze.sources.array_kind import ArrayKind, Part, Stored, UnclearError, register
from unfreeze.sources.array_pairs import pair_arrays

# Bytes of a block.
BLOCK = 1 << 24


def find_npz(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are zip archives of arrays."""
    return [path for path in paths if path.suffix.lower() == ".npz" and path.is_file()]


def find_npy(paths: Sequence[Path]) -> list[Path]:
    """Return the files that hold one array."""
    return [path for path in paths if path.suffix.lower() == ".npy" and path.is_file()]


def read_npz(paths: Sequence[Path]) -> list[Part]:
    """Read archives of arrays; where there are several, their names may name folds."""
    stored = []
    for path in paths:
        try:
            with zipfile.ZipFile(path) as packed:
                members = [name for name in packed.namelist() if name.endswith(".npy")]
            stored += [
                _describe_array(member.removesuffix(".npy"), partial(_open_member, path, member), path, len(paths))
                for member in members
            ]
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise UnclearError(f"{path.name} is damaged or cut short ({error})") from error
    return pair_arrays(stored)


def read_npy(paths: Sequence[Path]) -> list[Part]:
    """Read arrays in files of their own."""
    if len(paths) == 1:
        raise UnclearError(f"{paths[0].name} is one array: give the folder with X.npy and y.npy")
    return pair_arrays([_describe_array(path.stem, partial(path.open, "rb"), path, 1) for path in paths])


def _open_member(path: Path, member: str) -> IO[bytes]:
    # Reading goes on in it, and the archive is closed when it is collected.
    return zipfile.ZipFile(path).open(member)


def _describe_array(name: str, opened: "partial[IO[bytes]]", path: Path, number: int) -> Stored:
    """Return an array by its header; its values are read when they are needed."""
    with opened() as stream:
        shape, by_columns, dtype = _read_header(stream, path)
    if dtype.hasobject:
        raise UnclearError(
            f"{name!r} in {path.name} holds Python objects, which may run code when they are loaded: save an array "
            "of numbers or texts, such as with labels.astype('U')"
        )
    if by_columns and len(shape) > 1:
        raise UnclearError(f"{name!r} in {path.name} is stored by columns: save it after numpy.ascontiguousarray")
    return Stored(name, shape, dtype, partial(_read_blocks, opened, path), path.stem if number > 1 else "")


def _read_header(stream: IO[bytes], path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of an array.

    Raises:
        UnclearError: It has none.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return read(stream)
    except ValueError as error:
        raise UnclearError(f"{path.name} holds something that is no array of NumPy's ({error})") from error


def _read_blocks(opened: "partial[IO[bytes]]", path: Path) -> Iterator[np.ndarray]:
    with opened() as stream:
        shape, _, dtype = _read_header(stream, path)
        rows = shape[0] if shape else 1
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        step = max(BLOCK // max(row_bytes, 1), 1)
        for start in range(0, rows, step):
            count = min(step, rows - start)
            try:
                content = stream.read(count * row_bytes)
            except (zipfile.BadZipFile, EOFError) as error:
                raise UnclearError(f"{path.name} is damaged ({error})") from error
            if len(content) < count * row_bytes:
                raise UnclearError(f"{path.name} is cut short")
            yield np.frombuffer(content, dtype).reshape((count, *shape[1:]))


register(ArrayKind("npz", find_npz, read_npz))
register(ArrayKind("npy", find_npy, read_npy))
