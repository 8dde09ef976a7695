"""Labelled images of a source of any kind, brought into one raw folder."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.settings.sources import Source
from unfreeze.sources import addresses, labels
from unfreeze.sources.kind import Workplace, find_kind


@dataclass(frozen=True)
class Collected:
    """What has come from a source.

    Args:
        index: One row an image, sorted: `path` and `label`; `weight`, `group` and `fold` if a table gives them.
        sha256: Digest of the archive, or of a remote folder's names and contents; None for a local folder.
        bytes: Size of all images together.
    """

    index: pd.DataFrame
    sha256: str | None
    bytes: int


def check_reachable(source: Source) -> None:
    """Refuse a source from which no images can come, before any work starts.

    Args:
        source: Settings of any kind.

    Raises:
        UnfreezeError: Names the path or the address and what to do.
    """
    find_kind(source).check(source)


def collect(source: Source, target: Path, *, downloads: Path, recorded: str | None = None) -> Collected:
    """Bring all images of a source into a folder.

    Args:
        source: Where they come from; settings of any kind.
        target: An empty folder to be filled.
        downloads: Folder for what is being fetched, on the same disk. What a killed process left there is made use
            of; it is gone when all images are there.
        recorded: Digest that came from this source before. Another one is an error, unless the source is pinned.

    Returns:
        The index, the digest and the size.

    Raises:
        UnfreezeError: The source is missing, empty, unsafe, cannot be fetched or has another digest.
    """
    kind = find_kind(source)
    kind.check(source)
    place = Workplace(downloads, downloads / "unpacked", recorded)
    try:
        brought = kind.bring(source, place)
        if source.labels is None:
            base, index = labels.index_class_folders(
                brought.folder, source.class_folders, name=addresses.hide_secrets(source.source)
            )
        else:
            base, index = labels.index_table(brought.folder, source.labels)
        # Fetched files are moved, so that they take their room once.
        transfer = shutil.copyfile if brought.sha256 is None else shutil.move
        size = _transfer(base, index, target, transfer, source.name)
    finally:
        files.remove(place.unpacked)
    files.remove(downloads)
    return Collected(index, brought.sha256, size)


def _transfer(
    base: Path, index: pd.DataFrame, target: Path, transfer: Callable[[Path, Path], Any], description: str
) -> int:
    """Bring the images of an index from one folder into another, and return their size together."""
    size = 0
    for name in console.track(index["path"], f"copying {description}", len(index)):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            transfer(base / name, copy)
        except (PermissionError, FileNotFoundError) as error:
            raise UnfreezeError(
                f"{str(base / name)!r} could not be read ({error.strerror}): make it readable or take it out"
            ) from error
        size += copy.stat().st_size
    return size
