"""What `unfreeze inspect` tells of a source, found without copying an image of this machine.

Of an address an archive is fetched, and a folder listed: it is looked at among the temporary files and not kept.
"""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.runtime.remote_folder import RemoteFolder
from unfreeze.settings.base import FOLDS
from unfreeze.settings.overrides import quote_for_shell, quote_override
from unfreeze.sources import addresses, archives, arrays, fetch, patterns, stores
from unfreeze.sources.changes import Snapshot
from unfreeze.sources.file_types import ARCHIVES, IMAGES, OTHERS, TABLES, find_format, get_suffix
from unfreeze.sources.fold_words import list_missing_folds
from unfreeze.sources.inventory import Listing, list_source
from unfreeze.sources.layout import Layout
from unfreeze.sources.mirror import write_mirror
from unfreeze.sources.recognise import describe_links, recognise

# Images a class that are shown, and a suffix whose first bytes are looked at.
EXAMPLES = 3
LOOKED_AT = 5
# A folder at an address has nothing of its own that DVC could watch.
WATCH = "data.watch=conf/data/folder.yaml"
# What neither a shell nor Hydra takes for anything but itself.
PLAIN = re.compile(r"[\w./:+-]+", re.ASCII)


@dataclass(frozen=True)
class Found:
    """What a source holds, and how to run the study on it.

    Args:
        source: Its path, or its address without secrets.
        reading: Short name of the layout.
        explanation: The layout in one sentence.
        seen: Number of files, and of images in files of several.
        images: Number of images.
        classes: Number of images of each class, or of each class and fold where folds are given.
        folds: Number of images of each fold; empty where none are given.
        groups: Number of different groups; None where none are given.
        formats: Number of images by suffix, and the formats that the first bytes of a few tell.
        left_out: Number of files that are left out and examples, by reason.
        examples: Paths of a few images of each class.
        notes: What people should know.
        settings: Overrides of settings that run the study, as `-S` takes them.
        command: The command for a shell.
    """

    source: str
    reading: str
    explanation: str
    seen: int
    images: int
    classes: dict[str, dict[str, int]]
    folds: dict[str, int]
    groups: int | None
    formats: dict[str, dict[str, Any]]
    left_out: dict[str, dict[str, Any]]
    examples: dict[str, list[str]]
    notes: list[str]
    settings: list[str]
    command: str

    def to_json(self) -> dict[str, Any]:
        """Return all of it as values of JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Place:
    """Where a source is looked at.

    Args:
        source: The source as settings name it: an absolute path or an address.
        path: That path, or what was fetched of the address.
        is_archive: Whether it is an archive.
        notes: What was fetched.
    """

    source: str
    path: Path
    is_archive: bool
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How messages call the source, without secrets."""
        return addresses.hide_secrets(self.source) if addresses.is_remote(self.source) else self.source


def inspect(source: str, group: str | None = None) -> Found:
    """Find out what a source holds.

    Args:
        source: Path of a folder, an archive, a table or arrays; or address of an archive, or of a folder in a store.
        group: Regular expression on an image's path, whose first group is what must stay in one fold; None for none.

    Raises:
        UnfreezeError: There is no such path, the address cannot be read, or what it holds cannot be read in one way.
    """
    with _find_place(source) as place, _list_files(place) as listing:
        layout = recognise(listing)
        notes = [*place.notes, *layout.notes, *describe_links(listing)]
        if group is not None:
            index, note = patterns.add_groups(layout.index, group, place.name)
            layout = replace(layout, index=index)
            notes += [note] if note else []
        formats = _count_formats(layout, listing)
        settings = _list_settings(place, layout, group)
    index = layout.index
    folds = Counter(index["fold"].tolist()) if "fold" in index else Counter()
    notes += [
        f"no fold {fold} is given: it will be drawn from the training images" for fold in list_missing_folds(folds)
    ]
    return Found(
        source=place.name,
        reading=layout.reading,
        explanation=layout.explanation,
        seen=layout.seen,
        images=len(index),
        classes=_count_classes(layout),
        folds={fold or "none": folds[fold] for fold in (*FOLDS, "") if folds[fold]},
        groups=int(index["group"][index["group"] != ""].nunique()) if "group" in index else None,
        formats=formats,
        left_out={
            reason: {"files": len(paths), "examples": list(paths[:EXAMPLES])}
            for reason, paths in layout.left_out.items()
        },
        examples={str(label): rows["path"].head(EXAMPLES).tolist() for label, rows in index.groupby("label")},
        notes=notes,
        settings=settings,
        command=" ".join([".venv/bin/dvc exp run", *(f"-S {quote_for_shell(setting)}" for setting in settings)]),
    )


@contextmanager
def _find_place(source: str) -> Iterator[Place]:
    """Yield the place of a source; what is fetched of an address is gone afterwards."""
    if not addresses.is_remote(source):
        path = _find_path(source)
        yield Place(str(path), path, path.is_file() and get_suffix(path.name) in ARCHIVES)
        return
    addresses.check_address(source)
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
        if stores.is_archive(source):
            yield _fetch_archive(source, Path(scratch))
        else:
            yield _list_folder(source.rstrip("/"), Path(scratch))


def _fetch_archive(address: str, scratch: Path) -> Place:
    name, suffix = addresses.hide_secrets(address), get_suffix(re.split("[?#]", address)[0])
    if suffix in (IMAGES | OTHERS) - ARCHIVES:
        raise UnfreezeError(
            f"{name} is one file and no archive ({suffix}): give the address of an archive or, in a store such as "
            f"S3, of the folder that holds it, or {addresses.ELSEWHERE}"
        )
    console.log.info("fetching %s", name)
    archive = scratch / "archive"
    fetch.download(address, archive, sha256=None)
    note = f"the archive was fetched to be looked at, {_show_size(archive)}, and is not kept: the study fetches it"
    return Place(address, archive, True, (note,))


def _list_folder(address: str, scratch: Path) -> Place:
    """List a folder; of its files those are fetched that say what the others are."""
    name = addresses.hide_secrets(address)
    console.log.info("listing %s", name)
    remote = RemoteFolder(address)
    listed = Snapshot(remote.list_states())
    fetch.require_safe_names(address, listed.files)
    folder = scratch / "listed"
    folder.mkdir()
    write_mirror(remote, listed, folder)
    if arrays.is_array_source(folder):
        folder, _ = fetch.download_folder(address, scratch / "fetched")
        return Place(address, folder, False, (f"its arrays were fetched to be looked at, {_show_size(folder)}",))
    note = (
        f"{len(listed.files):,} files were listed, and {_show_size(folder)} fetched: tables, and the first bytes of "
        "files whose names do not say what they are"
    )
    return Place(address, folder, False, (note,))


def _show_size(path: Path) -> str:
    sizes = [file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return f"{sum(sizes) / 1e6:,.1f} MB"


def _find_path(source: str) -> Path:
    path = Path(os.path.abspath(Path(source).expanduser()))  # noqa: PTH100 (keeps links, unlike resolve)
    if not path.exists():
        raise UnfreezeError(f"{source!r} does not exist: give a folder, an archive, a table or arrays of images")
    suffix = get_suffix(path.name)
    if path.is_file() and suffix not in ARCHIVES | TABLES and not arrays.is_array_source(path):
        raise UnfreezeError(
            f"{source!r} is a file of an unknown kind ({suffix or 'no suffix'}): give a folder, an archive, a table "
            "or arrays of images"
        )
    return path


@contextmanager
def _list_files(place: Place) -> Iterator[Listing]:
    """Yield the files of a source; those of an archive are listed, and only what is no image is unpacked."""
    path, name = place.path, place.name
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
        folder = path
        if place.is_archive:
            folder = Path(scratch) / "unpacked"
            archives.unpack(path, folder, name=name, wanted=lambda name: get_suffix(name) not in IMAGES)
        if arrays.is_array_source(folder):
            # Images of arrays are listed and not written.
            images = arrays.describe_images(folder, name=name)["path"]
            yield Listing(Path(scratch), name, tuple(images))
        elif folder.is_file():
            beside = list_source(folder.parent, name)
            # A table alone: the images beside it, and no other table.
            yield replace(beside, others=(folder.name,), hidden=(), broken=())
        else:
            yield list_source(folder, name)


def _count_classes(layout: Layout) -> dict[str, dict[str, int]]:
    index = layout.index
    folds = index["fold"].tolist() if "fold" in index else [""] * len(index)
    counts: dict[str, dict[str, int]] = {label: {} for label in sorted(index["label"].unique())}
    for (label, fold), number in sorted(Counter(zip(index["label"].tolist(), folds, strict=True)).items()):
        counts[label][fold or "images"] = number
    return counts


def _count_formats(layout: Layout, listing: Listing) -> dict[str, dict[str, Any]]:
    """Return the number of images by suffix, and the formats of a few spread over each."""
    by_suffix: dict[str, list[str]] = {}
    for path in layout.paths:
        by_suffix.setdefault(get_suffix(path) or "none", []).append(path)
    found = {}
    for suffix, paths in sorted(by_suffix.items(), key=lambda item: -len(item[1])):
        few = paths[:: max(len(paths) // LOOKED_AT, 1)][:LOOKED_AT]
        files = [listing.root / path for path in few]
        # In an archive images are listed and not unpacked.
        formats = {find_format(file) or "unknown" for file in files if file.exists() and file.stat().st_size}
        found[suffix] = {"images": len(paths), "formats": sorted(formats)}
    return found


def _list_settings(place: Place, layout: Layout, group: str | None) -> list[str]:
    path, source = place.path, _set("data.source", place.source)
    if addresses.is_remote(place.source):
        settings = add_address_preset(source, is_archive=place.is_archive)
    elif place.is_archive:
        settings = ["data=archive", source, _set("data.watch", place.source)]
    elif path.is_file() and get_suffix(path.name) in TABLES and layout.unpack is None:
        settings = ["data=folder", _set("data.source", str(path.parent))]
        settings += [quote_override(key, value) for key, value in layout.settings.items()]
    else:
        settings = ["data=folder", source]
    return settings + ([quote_override("data.group", group)] if group is not None else [])


def add_address_preset(source: str, *, is_archive: bool) -> list[str]:
    """Return the overrides that make a study take its images from an address.

    Args:
        source: The override that names the address.
        is_archive: Whether it is that of an archive; otherwise of a folder.
    """
    return ["data=archive", source] if is_archive else ["data=folder", source, WATCH]


def _set(key: str, value: str) -> str:
    return f"{key}={value}" if PLAIN.fullmatch(value) else quote_override(key, value)
