"""Labelled images of a source of any kind, brought into one raw folder."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.settings.sources import Source
from unfreeze.sources import addresses, arrays, labels, patterns
from unfreeze.sources.changes import require_unchanged, take_snapshot
from unfreeze.sources.inventory import Listing, list_source
from unfreeze.sources.kind import Workplace, find_kind
from unfreeze.sources.layout import Layout
from unfreeze.sources.recognise import describe_links, finish, recognise, require_distinct_labels, show_left_out


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
    name = addresses.hide_secrets(source.source)
    try:
        brought = kind.bring(source, place)
        is_own = brought.sha256 is None
        before = take_snapshot(brought.folder) if is_own else None
        folder = open_arrays(brought.folder, place.unpacked / "images", f"data.source {name}")
        layout = read_layout(source, folder)
        tell_layout(layout)
        if layout.unpack is not None:
            layout.unpack(target)
            size = sum((target / path).stat().st_size for path in layout.index["path"])
        else:
            # Fetched files are moved, so that they take their room once.
            transfer = shutil.copyfile if is_own and folder == brought.folder else shutil.move
            size = _transfer(folder / layout.base, layout.index, target, transfer, source.name)
        if before is not None:
            require_unchanged(before, brought.folder, name)
    finally:
        files.remove(place.unpacked)
    files.remove(downloads)
    return Collected(layout.index, brought.sha256, size)


def open_arrays(folder: Path, target: Path, name: str) -> Path:
    """Return a folder of image files: that one, or another that holds the images of its arrays.

    Args:
        folder: What a source holds, a folder or a file.
        target: Where images of arrays are written; it does not exist yet.
        name: How messages call the source, without secrets.
    """
    if not arrays.is_array_source(folder):
        return folder
    target.mkdir(parents=True)
    arrays.write_images(folder, target, name=name)
    return target


def read_layout(source: Source, folder: Path) -> Layout:
    """Find out what the files of a source mean, as its settings say or, without any, by recognising it.

    Args:
        source: The settings.
        folder: The folder that holds its files.

    Raises:
        UnfreezeError: Nothing fits, several readings do, or what fits cannot be used.
    """
    listing = list_source(folder, addresses.hide_secrets(source.source))
    if source.labels is None and source.class_folders is None and source.label is None:
        layout = recognise(listing)
    else:
        layout = _read_as_told(source, listing)
    notes = [*layout.notes, *describe_links(listing)]
    if source.group is not None:
        index, note = patterns.add_groups(layout.index, source.group, listing.name)
        layout = replace(layout, index=index)
        notes += [note] if note else []
    return replace(layout, notes=tuple(notes))


def _read_as_told(source: Source, listing: Listing) -> Layout:
    folder, name = listing.root, listing.name
    if source.label is not None:
        return finish(patterns.read_labels(listing, source.label), listing)
    if source.labels is not None:
        base, index = labels.index_table(folder, source.labels)
        reading, explanation = "table", f"the table {source.labels.file}"
    else:
        base, index = labels.index_class_folders(folder, source.class_folders or "*", name=name)
        reading, explanation = "class folders", f"the class folders {source.class_folders!r}"
    require_distinct_labels(index["label"], explanation)
    inside = base.relative_to(folder).as_posix()
    layout = Layout(reading, explanation, "" if inside == "." else inside, index, {})
    return layout if source.labels is not None else finish(layout, listing)


def tell_layout(layout: Layout) -> None:
    """Log how a source was read, and warn of what is left out."""
    console.log.info("read as %s", layout.explanation)
    for sentence in (*layout.notes, *show_left_out(layout)):
        console.log.warning("%s", sentence)


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
