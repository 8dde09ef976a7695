"""CIFAR-10 and CIFAR-100, as their authors publish them and Keras and torchvision keep them: pickles or binary."""

import io
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.runtime.console import log
from unfreeze.sources.array_kind import ArrayKind, Part, Stored, UnclearError, register
from unfreeze.sources.array_pairs import make_part, name_labels

SHAPE = (3, 32, 32)
PIXELS = 3072


@dataclass(frozen=True)
class _Form:
    """One of the forms in which CIFAR comes.

    Args:
        folds: Files of each fold.
        read: Returns pixels, uint8 of shape (images, 3072), and class numbers, int64, of a file.
        read_names: Returns the names of the classes.
    """

    folds: Mapping[str, Sequence[str]]
    read: Callable[[Path], tuple[np.ndarray, np.ndarray]]
    read_names: Callable[[Path], list[str]]


def find_cifar(paths: Sequence[Path]) -> list[Path]:
    """Return the files of CIFAR, that with the classes' names first, if all that there have to be are there."""
    by_name = {path.name: path for path in paths}
    for names_file, form in FORMS.items():
        wanted = [names_file, *(name for files in form.folds.values() for name in files)]
        if all(name in by_name for name in wanted):
            return [by_name[name] for name in wanted]
    return []


def read_cifar(paths: Sequence[Path]) -> list[Part]:
    """Read both folds."""
    form = FORMS[paths[0].name]
    if len(form.folds["train"]) == 1:
        log.info("CIFAR-100 has 100 classes in 20 groups: the classes are taken")
    names = form.read_names(paths[0])
    parts = []
    for fold, files_of in form.folds.items():
        found = [form.read(paths[0].with_name(name)) for name in files_of]
        images = np.concatenate([pixels for pixels, _ in found]).reshape(-1, *SHAPE)
        labels = name_labels(np.concatenate([numbers for _, numbers in found]), names)
        parts.append(
            make_part(fold, Stored(fold, images.shape, images.dtype, partial(_iterate_once, images)), labels, 1.0)
        )
    return parts


def _iterate_once(images: np.ndarray) -> Any:
    return iter([images])


def _read_pickle(path: Path, *, labels_key: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels, uint8 of shape (images, 3072), and class numbers, int64."""
    content = _load(path)
    stored, numbers = _get_field(content, b"data", path), _get_field(content, labels_key, path)
    if not isinstance(stored, _PickledArray) or not all(type(number) is int for number in numbers):
        raise UnclearError(f"{path.name} holds other things than an array of pixels and a list of labels")
    pixels = stored.to_array(path)
    if len(pixels) != len(numbers):
        raise UnclearError(f"{path.name} holds {len(pixels)} images and {len(numbers)} labels")
    return pixels, np.array(numbers, np.int64)


def _read_binary(path: Path, *, label_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    content = np.fromfile(path, np.uint8)
    if len(content) == 0 or len(content) % (label_bytes + PIXELS):
        raise UnclearError(f"{path.name} is cut short, or not the binary form of CIFAR")
    rows = content.reshape(-1, label_bytes + PIXELS)
    return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(np.int64)


def _read_pickled_names(path: Path, *, key: bytes) -> list[str]:
    return [_convert_to_text(name) for name in _get_field(_load(path), key, path)]


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split()


def _get_field(content: Any, key: bytes, path: Path) -> Any:
    found = content.get(key, content.get(key.decode())) if isinstance(content, dict) else None
    if not isinstance(found, list | _PickledArray):
        raise UnclearError(f"{path.name} lacks {key.decode()!r}: it is no batch of CIFAR's")
    return found


class _PickledArray:
    """An array as a pickle describes it; NumPy's own decoder, which trusts what it reads, takes no part."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def to_array(self, path: Path) -> np.ndarray:
        """Return uint8 pixels of shape (images, 3072)."""
        # NumPy's state: version, shape, dtype, whether stored by columns, bytes.
        match self.state:
            case (_, (int(rows), int(columns)), _PickledDtype(name="u1" | b"u1"), False | 0, bytes(content)):
                if columns == PIXELS and len(content) == rows * columns:
                    return np.frombuffer(content, np.uint8).reshape(rows, columns)
        raise UnclearError(f"{path.name} holds an array that is not of unsigned bytes and shape (images, {PIXELS})")


class _PickledDtype:
    """A dtype as a pickle describes it."""

    def __init__(self, name: Any = None, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Forget the byte order: one byte has none."""


def _begin_array(*_: Any) -> _PickledArray:
    return _PickledArray()


def _encode(text: str, _: Any = None) -> bytes:
    """Return bytes that Python 3 wrote for Python 2."""
    return text.encode("latin-1")


# All that a batch refers to, by the last part of the module, which NumPy has moved. Nothing is looked up, so no code
# that a file names is ever imported or run.
KNOWN = {
    ("multiarray", "_reconstruct"): _begin_array,
    ("numpy", "ndarray"): _PickledArray,
    ("numpy", "dtype"): _PickledDtype,
    ("_codecs", "encode"): _encode,
}


class _BatchReader(pickle.Unpickler):
    """Reads CIFAR's batches: lists, texts, numbers and arrays that `KNOWN` stands in for."""

    def find_class(self, module: str, name: str) -> Any:
        key = (module.rpartition(".")[2], name)
        if key not in KNOWN:
            raise UnclearError(f"it refers to {module}.{name}, which batches of CIFAR's do not: it may be harmful")
        return KNOWN[key]


def _load(path: Path) -> Any:
    try:
        return _BatchReader(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except UnclearError as error:
        raise UnclearError(f"{path.name} was not read: {error}") from error
    # A damaged pickle raises nearly anything.
    except Exception as error:
        raise UnclearError(f"{path.name} is damaged, or no batch of CIFAR's ({type(error).__name__})") from error


def _convert_to_text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


_FOLDS = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
_BINARY_FOLDS = {fold: [f"{name}.bin" for name in names] for fold, names in _FOLDS.items()}
# By the file that holds the names of the classes. Each image of CIFAR-100 has two labels: the second is the class.
FORMS = {
    "batches.meta": _Form(
        _FOLDS, partial(_read_pickle, labels_key=b"labels"), partial(_read_pickled_names, key=b"label_names")
    ),
    "meta": _Form(
        {"train": ["train"], "test": ["test"]},
        partial(_read_pickle, labels_key=b"fine_labels"),
        partial(_read_pickled_names, key=b"fine_label_names"),
    ),
    "batches.meta.txt": _Form(_BINARY_FOLDS, partial(_read_binary, label_bytes=1), _read_lines),
    "fine_label_names.txt": _Form(
        {"train": ["train.bin"], "test": ["test.bin"]}, partial(_read_binary, label_bytes=2), _read_lines
    ),
}
register(ArrayKind("CIFAR", find_cifar, read_cifar))
