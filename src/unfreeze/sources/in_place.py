"""Labelled images that stay in the folder of the user: they are listed with size and digest, and not copied."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import arrays
from unfreeze.sources.changes import Snapshot, describe_file, require_unchanged, take_snapshot
from unfreeze.sources.collect import Collected, read_layout, tell_layout
from unfreeze.sources.kind import find_kind
from unfreeze.sources.messages import refuse_to_stay

# Over a network a file is mostly waited for, so there are more threads than processors.
THREADS = 16
# Images that a thread hashes in one task, and images between two steps of the progress bar.
RUN, BLOCK = 16, 4096
# Columns of the file of known digests; `path` is relative to the source, `changed` is nanoseconds.
KNOWN = ["path", "bytes", "changed", "sha256"]


@dataclass(frozen=True)
class Listed:
    """Images that stay where they are.

    Args:
        collected: Their index, with `bytes` and `sha256` of each.
        root: Folder that the paths of the index are relative to, as the settings name the source.
    """

    collected: Collected
    root: Path


def list_images(source: FolderSource, known: Path) -> Listed:
    """List the images of a folder with their digests; nothing is written into it.

    Args:
        source: The settings.
        known: File of digests that were computed before: an image of the same size and time is not hashed again.

    Raises:
        UnfreezeError: The folder is missing or empty, holds no image files, or changes while it is read.
    """
    find_kind(source).check(source)
    folder = Path(source.source).expanduser()
    if arrays.is_array_source(folder):
        refuse_to_stay(source.source, "a folder of arrays")
    before = take_snapshot(folder)
    layout = read_layout(source, folder)
    if layout.unpack is not None:
        refuse_to_stay(source.source, "a file that holds its images")
    tell_layout(layout)
    states = _add_digests(folder, _describe(folder, layout.paths, before), known, source.name)
    require_unchanged(before, folder, source.source)
    index = layout.index.assign(bytes=states["bytes"].to_numpy(), sha256=states["sha256"].to_numpy())
    return Listed(Collected(index, None, int(states["bytes"].sum())), folder / layout.base)


def _describe(folder: Path, paths: list[str], before: Snapshot) -> pd.DataFrame:
    """Return one row an image: its path, size in bytes and time of the last change in nanoseconds."""
    # A table may name hidden files, which a snapshot leaves out.
    found = [before.files.get(path) or describe_file(folder / path) for path in paths]
    return pd.DataFrame(found, columns=["bytes", "changed"]).assign(path=paths)


def _add_digests(folder: Path, states: pd.DataFrame, known: Path, name: str) -> pd.DataFrame:
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


def _hash_files(folder: Path, paths: list[str]) -> Iterator[list[str]]:
    """Yield the digests of files in their order, many at a time."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(paths), BLOCK):
            block = paths[start : start + BLOCK]
            runs = [block[first : first + RUN] for first in range(0, len(block), RUN)]
            yield [digest for run in pool.map(partial(_hash_run, folder), runs) for digest in run]


def _hash_run(folder: Path, paths: list[str]) -> list[str]:
    return [_hash(folder / path) for path in paths]


def _hash(path: Path) -> str:
    try:
        return files.hash_file(path)
    except (PermissionError, FileNotFoundError) as error:
        raise UnfreezeError(
            f"{str(path)!r} could not be read ({error.strerror}): make it readable or take it out"
        ) from error
