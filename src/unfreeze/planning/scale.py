"""How many images a study has, before they are brought here."""

import os
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from unfreeze.images.formats import SUFFIXES
from unfreeze.planning.measurements import Measurement
from unfreeze.settings.sources import ArchiveSource, FolderSource, Source

IMAGE_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
RAW = "data/raw"

# Number of images, and their size in bytes.
Extent = tuple[int, int]


def find_extent(
    source: Source, data: Mapping[str, Any], locked: Any, measurements: Sequence[Measurement]
) -> Extent | None:
    """Return the number of images of a source and their size, as exactly as can be known without fetching them.

    Args:
        source: The source.
        data: Its settings as JSON values.
        locked: The stage `download` of dvc.lock; None if it has never run.
        measurements: What was measured on this machine.

    Returns:
        Images and bytes: of the lock if it is of the same settings, else counted in a local folder or archive, else
        of the last run with the same settings; None if nobody knows.
    """
    # Images that stay where they are, are none of DVC's files.
    is_copied = not (isinstance(source, FolderSource) and source.in_place)
    if is_copied and locked and _names(locked, source):
        for out in locked["outs"]:
            if out["path"] == RAW and "nfiles" in out:
                return int(out["nfiles"]), int(out["size"])
    counted = _count(source)
    if counted is not None:
        return counted
    for measured in reversed(measurements):
        if measured.settings.get("data") == data and measured.images and measured.raw_bytes:
            return measured.images, measured.raw_bytes
    return None


def _names(locked: Any, source: Source) -> bool:
    """Tell whether dvc.lock holds the same settings of the source; it leaves out what is left at its default."""
    try:
        return type(source).model_validate(locked["params"]["params.yaml"]["data"]) == source
    except (KeyError, ValueError):
        return False


def _count(source: Source) -> Extent | None:
    """Count the images of a local source by their names; None if it is elsewhere or cannot be listed."""
    path = Path(source.source).expanduser()
    if isinstance(source, FolderSource) and path.is_dir():
        return _add_up(
            (name, (Path(place) / name).stat().st_size) for place, _, names in os.walk(path) for name in names
        )
    if isinstance(source, ArchiveSource) and path.is_file():
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _add_up((entry.filename, entry.file_size) for entry in archive.infolist())
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as tar:
                return _add_up((entry.name, entry.size) for entry in tar if entry.isfile())
    return None


def _add_up(found: Iterable[tuple[str, int]]) -> Extent:
    sizes = [size for name, size in found if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
    return len(sizes), sum(sizes)
