"""The files of a source, found by one walk that opens none whose name tells what it is."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from unfreeze.errors import UnfreezeError
from unfreeze.sources.archives import find_name_problem
from unfreeze.sources.file_types import IMAGES, OTHERS, find_format, get_suffix, is_hidden


@dataclass(frozen=True)
class Walked:
    """What a walk through a folder finds; each path is relative to it, with `/`.

    Args:
        files: Visible files, in order.
        hidden: Hidden files, what file managers leave, and all files in hidden folders.
        broken: Links to nothing, and what is neither file nor folder.
        outside: Links that lead out of the folder; they are followed.
        loops: Links to a folder that they are in; they are not followed.
    """

    files: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Listing:
    """The files of a source by what they are; each path is relative to its folder, with `/`.

    Args:
        root: The folder.
        name: How messages call the source, without secrets.
        images: Files that are images by suffix or, where that tells nothing, by their first bytes.
        others: Other visible files, such as tables, texts and videos.
        hidden: Hidden files, and what file managers leave.
        broken: Links to nothing, and what is neither file nor folder.
        outside: Links that lead out of the folder; they are followed.
        loops: Links to a folder that they are in; they are not followed.
    """

    root: Path
    name: str
    images: tuple[str, ...]
    others: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    loops: tuple[str, ...] = ()

    @property
    def seen(self) -> int:
        """Number of files, and of links to nothing."""
        return len(self.images) + len(self.others) + len(self.hidden) + len(self.broken)


def list_source(root: Path, name: str) -> Listing:
    """List the files of a source.

    Args:
        root: Its folder, or its one file.
        name: How messages call it, without secrets.

    Raises:
        UnfreezeError: A folder cannot be read.
    """
    if root.is_file():
        return Listing(root.parent, name, (), (root.name,))
    walked = walk(root)
    images: list[str] = []
    others: list[str] = []
    for path in walked.files:
        (images if is_image(root, path) else others).append(path)
    return Listing(
        root,
        name,
        *(
            tuple(sorted(paths))
            for paths in (images, others, walked.hidden, walked.broken, walked.outside, walked.loops)
        ),
    )


def is_image(root: Path, path: str) -> bool:
    """Tell whether a file is an image by its suffix or, where that tells nothing, by its first bytes."""
    suffix = get_suffix(path)
    if suffix in IMAGES:
        return True
    return suffix not in OTHERS and find_format(root / path) is not None


def walk(root: Path) -> Walked:
    """List all files below a folder, through links too.

    Args:
        root: The folder.

    Raises:
        UnfreezeError: A folder that is not hidden cannot be read.
    """
    found = Walked()
    real = os.path.realpath(root)
    # Each with the real paths of the folders that led to it, so that a loop of links is noticed.
    waiting: list[tuple[str, str, bool, tuple[str, ...]]] = [(str(root), "", False, (real,))]
    while waiting:
        folder, prefix, hidden, above = waiting.pop()
        for entry in _scan(folder, hidden):
            path, is_hidden_now = f"{prefix}{entry.name}", hidden or is_hidden(entry.name)
            if entry.is_file(follow_symlinks=False):
                (found.hidden if is_hidden_now else found.files).append(path)
            elif entry.is_dir(follow_symlinks=False):
                inner = f"{above[-1]}/{entry.name}"
                waiting.append((entry.path, f"{path}/", is_hidden_now, (*above, inner)))
            elif not entry.is_symlink() or not os.path.exists(entry.path):  # noqa: PTH110 (as below)
                found.broken.append(path)
            else:
                target = os.path.realpath(entry.path)
                if not f"{target}/".startswith(f"{real}/") and not is_hidden_now:
                    found.outside.append(path)
                if not entry.is_dir():
                    usable = found.hidden if is_hidden_now else found.files if entry.is_file() else found.broken
                    usable.append(path)
                elif target in above:
                    found.loops.append(path)
                else:
                    waiting.append((entry.path, f"{path}/", is_hidden_now, (*above, target)))
    for paths in vars(found).values():
        paths.sort()
    return found


def is_usable(path: str) -> bool:
    """Tell whether a file on disk has a name that all stages can use.

    Args:
        path: Its path in the source. One that begins with a letter and a colon is no path of Windows here.
    """
    # Names on disk that are plain text have no problem.
    if path.isascii() and path.isprintable() and "\\" not in path:
        return True
    return find_name_problem(path) in {None, "is an absolute path"}


def refuse_unreadable(error: OSError) -> NoReturn:
    """Refuse a folder that could not be listed.

    Raises:
        UnfreezeError: Names the folder and the remedy.
    """
    raise UnfreezeError(
        f"the folder {str(error.filename)!r} could not be read ({error.strerror}): make it readable "
        "(`chmod u+rx`) or move it out of data.source"
    ) from error


def require_readable(folder: Path) -> None:
    """Refuse a folder that cannot be listed.

    Raises:
        UnfreezeError: Names the folder and the remedy.
    """
    try:
        os.scandir(folder).close()
    except OSError as error:
        refuse_unreadable(error)


def _scan(folder: str, hidden: bool) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        # A repository's or a file manager's own folder is none of the data.
        if not hidden:
            refuse_unreadable(error)
