"""Files that hold many images with their labels, written as one file an image.

Arrays are taken by their names: `x_train` and `y_train`, `train_images` and `train_labels`, `images` and `labels`.
What is not clear is refused, by naming what was found and what was expected. No code in a file is run: arrays of
objects are refused, and so are pickles, but for CIFAR's, whose decoder looks up no name that a file gives.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.sources.archives import find_top, is_named_as_image, is_visible
from unfreeze.sources.array_kind import ArrayKind, Part, UnclearError, load_array_kinds

# Files that a message names.
MOST_NAMED = 12
SELF_HELP = "or save each image as a PNG in a folder of its class"


def is_array_source(path: Path) -> bool:
    """Tell whether a source holds its images in arrays or records; whether they are clear is found out later.

    Args:
        path: A file, or a folder that may have all in one folder on top. A folder that holds images is none.
    """
    return bool(_find_kinds(path))


def describe_images(path: Path, *, name: str | None = None) -> pd.DataFrame:
    """Return what `write_images` would write.

    Args:
        path: A file or folder for which `is_array_source` holds.
        name: How messages call the source; the path by default.

    Returns:
        One row an image, sorted: `path` and `label`; and `fold` (train, val or test), if the source names folds.

    Raises:
        UnfreezeError: It is no such source, or its arrays are not clear.
    """
    rows = [
        (file, label, part.fold)
        for part in _read_parts(path, name or str(path))
        for file, label in zip(_name_files(part), part.labels, strict=True)
    ]
    index = pd.DataFrame(sorted(rows), columns=["path", "label", "fold"])
    return index if (index["fold"] != "").any() else index.drop(columns="fold")


def write_images(path: Path, target: Path, *, name: str | None = None) -> None:
    """Write each image as a file: `FOLD/CLASS/NUMBER.png`, or `CLASS/NUMBER.png` where no folds are named.

    The class is the label's number, or the name that the source gives it. The number is the image's place in its
    array or records. Images that are encoded already keep their bytes and have their format's suffix. The same source
    gives the same bytes.

    Args:
        path: A file or folder for which `is_array_source` holds.
        target: The folder to make; an old one is replaced. It may lie in the source, if it is empty.
        name: How messages call the source; the path by default.

    Raises:
        UnfreezeError: It is no such source, or its arrays are not clear. Then nothing is written.
    """
    if target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    name = name or str(path)
    parts = _read_parts(path, name)
    if unused := _list_unused(path):
        console.log.warning("data.source %s: files that hold none of its images are not used: %s", name, unused)
    try:
        with files.atomic(target) as folder:
            folder.mkdir()
            for part in parts:
                for label in set(part.labels):
                    (folder / part.fold / label).mkdir(parents=True, exist_ok=True)
                named = zip(_name_files(part), part.encode(), strict=True)
                for file, content in console.track(named, f"unpacking {path.name}", len(part.labels)):
                    (folder / file).write_bytes(content)
    except UnclearError as error:
        raise _make_refusal(name, error) from error


def _name_files(part: Part) -> list[str]:
    prefix = f"{part.fold}/" if part.fold else ""
    return [
        f"{prefix}{label}/{number:06}{suffix}"
        for number, (label, suffix) in enumerate(zip(part.labels, part.suffixes, strict=True))
    ]


def _read_parts(path: Path, name: str) -> Sequence[Part]:
    found = _find_kinds(path)
    if not found:
        raise UnfreezeError(
            f"data.source {name} holds no arrays of images: expected .npz, .npy, HDF5, TFRecord, MNIST's idx files "
            "or the folder of CIFAR's batches"
        )
    try:
        if len(found) > 1:
            names = ", ".join(f"{kind.name} ({paths[0].name})" for kind, paths in found)
            raise UnclearError(f"it holds {names}, and only one of them can be meant: give one of them")
        kind, paths = found[0]
        return kind.read(paths)
    except UnclearError as error:
        raise _make_refusal(name, error) from error


def _list_unused(path: Path) -> str:
    """Return the names of files that are of no kind, as people read them; empty for none."""
    used = {file for _, paths in _find_kinds(path) for file in paths}
    names = [file.name for file in _list_files(path) if file not in used]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _make_refusal(name: str, error: UnclearError) -> UnfreezeError:
    return UnfreezeError(f"data.source {name} was not read as arrays of images: {error}, {SELF_HELP}")


def _find_kinds(path: Path) -> list[tuple[ArrayKind, Sequence[Path]]]:
    """Return the kinds of which there are files, with these files."""
    there = _list_files(path)
    if any(item.is_dir() or is_named_as_image(item) for item in there):
        return []
    found = [(kind, kind.find(there)) for kind in load_array_kinds()]
    return [(kind, paths) for kind, paths in found if paths]


def _list_files(path: Path) -> list[Path]:
    """Return a file itself, or what a folder holds, below folders that hold one folder and nothing else."""
    if path.is_dir():
        return sorted(item for item in find_top(path).iterdir() if is_visible(item))
    return [path] if path.is_file() else []
