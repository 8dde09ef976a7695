"""HDF5 files with a data set of images and one of labels, such as PatchCamelyon's."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.sources.array_kind import ArrayKind, Part, Stored, UnclearError, register
from unfreeze.sources.array_pairs import pair_arrays

SUFFIXES = {".h5", ".hdf5", ".hdf", ".he5"}
# Images that are read at once.
BLOCK = 256


def find_hdf5(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are named as HDF5."""
    return [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]


def read_hdf5(paths: Sequence[Path]) -> list[Part]:
    """Read data sets; groups may name folds, and so may files where there are several."""
    return pair_arrays([array for path in paths for array in _list_arrays(path, path.stem if len(paths) > 1 else "")])


def _list_arrays(path: Path, place: str) -> list[Stored]:
    # Imported here, as few sources need it.
    import h5py

    found = []

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.is_virtual or item.external:
            raise UnclearError(f"{name!r} in {path.name} is stored in other files: copy it with `h5repack`")
        is_text = h5py.check_string_dtype(item.dtype) is not None
        if item.dtype.hasobject and not is_text:
            raise UnclearError(f"{name!r} in {path.name} has rows of different lengths ({item.dtype})")
        dtype = np.dtype("O") if is_text else item.dtype
        found.append(Stored(name, item.shape or (), dtype, partial(_read_blocks, path, name, is_text), place))

    try:
        with h5py.File(path) as stored:
            # Links to other files are not followed.
            stored.visititems(visit)
    except OSError as error:
        raise UnclearError(f"{path.name} is no HDF5 file, or is damaged ({error})") from error
    return found


def _read_blocks(path: Path, name: str, is_text: bool) -> Iterator[np.ndarray]:
    import h5py

    try:
        with h5py.File(path) as stored:
            values = stored[name].asstr() if is_text else stored[name]
            for start in range(0, len(stored[name]), BLOCK):
                yield values[start : start + BLOCK]
    except OSError as error:
        raise UnclearError(f"{name!r} in {path.name} is damaged ({error})") from error


register(ArrayKind("HDF5", find_hdf5, read_hdf5))
