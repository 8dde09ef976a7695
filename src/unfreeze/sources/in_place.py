"""Labelled images that stay in a folder of the user or at an address: listed with size and digest, not copied."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.runtime.remote_folder import THREADS, RemoteFile, RemoteFolder
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import addresses, arrays
from unfreeze.sources.changes import Snapshot, describe_file, require_same, require_unchanged, take_snapshot
from unfreeze.sources.collect import Collected, read_layout, tell_layout
from unfreeze.sources.fetch import require_safe_names
from unfreeze.sources.kind import find_kind
from unfreeze.sources.layout import Layout
from unfreeze.sources.messages import refuse_to_stay
from unfreeze.sources.mirror import write_mirror

# Images that a thread hashes in one task, and images between two steps of the progress bar.
RUN, BLOCK = 16, 4096
# Columns of the file of known digests; `path` is relative to the source, `changed` is nanoseconds, or the version of
# a file at an address.
KNOWN = ["path", "bytes", "changed", "sha256"]


@dataclass(frozen=True)
class Listed:
    """Images that stay where they are.

    Args:
        collected: Their index, with `bytes` and `sha256` of each.
        root: Folder that the paths of the index are relative to, or its address, as the settings name the source.
    """

    collected: Collected
    root: str


def list_images(source: FolderSource, known: Path) -> Listed:
    """List the images of a folder with their digests; nothing is written into it.

    Args:
        source: The settings.
        known: File of digests that were computed before: an image of the same size and time is not hashed again.

    Raises:
        UnfreezeError: The folder is missing or empty, holds no image files, cannot be read, or changes meanwhile.
    """
    find_kind(source).check(source)
    if not addresses.is_remote(source.source):
        folder = Path(source.source).expanduser()
        before = take_snapshot(folder)
        layout = _read_layout(source, folder)
        collected = _collect(layout, folder, before, known, source.name)
        require_unchanged(before, folder, source.source)
        return Listed(collected, str(folder / layout.base))
    remote = RemoteFolder(source.source.rstrip("/"))
    before = Snapshot(remote.list_states())
    require_safe_names(source.source, before.files)
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
        write_mirror(remote, before, Path(scratch))
        layout = _read_layout(source, Path(scratch))
    collected = _collect(layout, remote, before, known, source.name)
    require_same(before, Snapshot(remote.list_states()), addresses.hide_secrets(source.source))
    return Listed(collected, f"{remote.address}/{layout.base}".rstrip("/"))


def _read_layout(source: FolderSource, folder: Path) -> Layout:
    if arrays.is_array_source(folder):
        refuse_to_stay(source.source, "a folder of arrays")
    layout = read_layout(source, folder)
    if layout.unpack is not None:
        refuse_to_stay(source.source, "a file that holds its images")
    tell_layout(layout)
    return layout


def _collect(layout: Layout, folder: Path | RemoteFolder, before: Snapshot, known: Path, name: str) -> Collected:
    states = _add_digests(folder, _describe(folder, layout.paths, before), known, name)
    index = layout.index.assign(bytes=states["bytes"].to_numpy(), sha256=states["sha256"].to_numpy())
    return Collected(index, None, int(states["bytes"].sum()))


def _describe(folder: Path | RemoteFolder, paths: list[str], before: Snapshot) -> pd.DataFrame:
    """Return one row an image: its path, size in bytes, and time of the last change in nanoseconds or version."""
    # A table may name hidden files, which a snapshot of this machine leaves out.
    found = [before.files.get(path) or describe_file(cast(Path, folder / path)) for path in paths]
    return pd.DataFrame(found, columns=["bytes", "changed"]).assign(path=paths)


def _add_digests(folder: Path | RemoteFolder, states: pd.DataFrame, known: Path, name: str) -> pd.DataFrame:
    """Add `sha256`, which is known where size and time are the same, and keep what was hashed."""
    if known.exists():
        states = states.merge(pd.read_parquet(known), "left", on=["path", "bytes", "changed"])
    else:
        states = states.assign(sha256=None)
    fresh = states.index[states["sha256"].isna()]
    digests: list[str] = []
    try:
        with console.progress(f"hashing {name}", len(fresh)) as advance:
            for part in _hash_files(folder, states.loc[fresh, "path"].tolist()):
                digests += part
                advance(len(part))
    finally:
        # Also where the stage is stopped: the next one goes on from there.
        states.loc[fresh[: len(digests)], "sha256"] = digests
        files.write_parquet(known, states.loc[states["sha256"].notna(), KNOWN])
    console.log.info("%d images stay where they are, %d of them were hashed", len(states), len(fresh))
    return states


def _hash_files(folder: Path | RemoteFolder, paths: list[str]) -> Iterator[list[str]]:
    """Yield the digests of files in their order, many at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(paths), BLOCK):
            block = paths[start : start + BLOCK]
            runs = [block[first : first + RUN] for first in range(0, len(block), RUN)]
            yield [digest for run in pool.map(partial(_hash_run, folder), runs) for digest in run]


def _hash_run(folder: Path | RemoteFolder, paths: list[str]) -> list[str]:
    return [_hash(folder / path) for path in paths]


def _hash(path: Path | RemoteFile) -> str:
    try:
        return path.hash() if isinstance(path, RemoteFile) else files.hash_file(path)
    except (PermissionError, FileNotFoundError) as error:
        raise UnfreezeError(
            f"{str(path)!r} could not be read ({error.strerror}): make it readable or take it out"
        ) from error
