"""Zip and tar archives from strangers: unpacked whole, or refused with the entry's name and nothing written."""

import errno
import lzma
import mimetypes
import re
import shutil
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from unfreeze import files
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.runtime import console
from unfreeze.sources.archive_readers import CHUNK, SUFFIXES, Entry, RefusedError, Tar, TarError, Zip, open_archive

# ImageNet has 1.4 million images. An entry costs an inode on disk and about 1 KB of memory here.
MAX_ENTRIES = 5_000_000
# Photographs are compressed already, so an archive of them is about as large as they are; uncompressed drawings
# shrink to a hundredth. Bombs begin near 1,032, the most that deflate reaches.
MAX_RATIO = 200
# Bytes. So little does no harm at any ratio, and small text files reach high ones.
ANY_RATIO_UP_TO = 100_000_000
# Bytes of a part of a path that Linux, macOS and Windows all take.
MAX_NAME = 255
# What the standard library raises on damaged archives; OSError, which a full disk raises too, is distinguished by
# its number.
DAMAGED = (
    zipfile.BadZipFile,
    TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    ValueError,
)


def find_name_problem(name: str) -> str | None:
    """Return what makes a relative path unsafe or unusable, such as 'is empty'; None if nothing does.

    >>> find_name_problem("../cats/1.png")
    'leaves the folder'
    >>> find_name_problem("cats/1.png")
    """
    try:
        parts = [part.encode() for part in name.split("/")]
    except UnicodeEncodeError:
        return "is not UTF-8"
    if not name:
        return "is empty"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "holds a control character"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "is an absolute path"
    if b".." in parts:
        return "leaves the folder"
    if any(len(part) > MAX_NAME for part in parts):
        return f"has a part of more than {MAX_NAME} bytes"
    return None


class Names:
    """The names of one tree, so that no two of them mean one file on any file system."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, bool]] = {}

    def find_problem(self, name: str, *, is_folder: bool) -> str | None:
        """Take in a name and return what is wrong with it, such as 'is there twice'; None if nothing is."""
        if problem := find_name_problem(name):
            return problem
        parts = PurePosixPath(name).parts
        if not parts and not is_folder:
            return "is empty"
        for depth in range(1, len(parts) + 1):
            path, path_is_folder = "/".join(parts[:depth]), is_folder or depth < len(parts)
            # Macs take two Unicode forms of one name for the same, Macs and Windows upper and lower case.
            key = unicodedata.normalize("NFC", path).lower()
            known, known_is_folder = self._seen.get(key, ("", True))
            if known and known != path:
                return f"differs from {known!r} only in case or Unicode form"
            if known and known_is_folder != path_is_folder:
                return "is a file and a folder"
            if known and not path_is_folder:
                return "is there twice"
            self._seen[key] = path, path_is_folder
        return None


class Budget:
    """What an archive may still unpack to, with the archives in it.

    Args:
        packed_size: Bytes of the archive.
        free: Bytes that the disk has room for.
    """

    def __init__(self, packed_size: int, free: int) -> None:
        self._most = max(MAX_RATIO * packed_size, ANY_RATIO_UP_TO)
        self._free = free
        self._total = self._entries = 0

    @property
    def left(self) -> int:
        """Bytes that may still come."""
        return min(self._most, self._free) - self._total

    def take(self, entry: Entry) -> None:
        """Count an entry.

        Raises:
            RefusedError: It is one too many.
        """
        self._total += entry.size
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            raise RefusedError(f"it has more than {MAX_ENTRIES:,} entries, so it may be a bomb")
        so_far = f"up to its entry {entry.name!r:.200} it unpacks to {self._total:,} bytes"
        if self._total > self._most:
            raise RefusedError(f"{so_far}, more than {MAX_RATIO} times its size, so it may be a bomb")
        if self._total > self._free:
            raise RefusedError(f"{so_far}, and {self._free:,} are free")


def unpack(
    archive: Path,
    folder: Path,
    *,
    name: str,
    code_page: str | None = None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> None:
    """Unpack a zip or tar archive, whole or not at all.

    All entries are looked at before the first is written. Refused are names that leave the folder or that two file
    systems would read differently, links, devices, encrypted entries, archives that are damaged or cut short, and
    those that unpack to more than is plausible or than the disk has room for. Archives in it are unpacked too, within
    the same limits, if there are no images or folders beside them.

    Args:
        archive: The archive: zip, or tar, plain or packed by gzip, bzip2, xz or zstd.
        folder: What it becomes. An old one is replaced.
        name: How messages call the archive.
        code_page: Encoding of names in a zip that do not say theirs; None to find it out.
        wanted: Whether an entry's content is needed; of all others an empty file is made.

    Raises:
        UnfreezeError: The archive is refused; the message names the entry and what is wrong with it.
    """
    remedy = "use a sound copy, or unpack it yourself, look at it and use -S data=folder -S data.source=PATH"
    with explain_refusal(name, remedy), files.atomic(folder) as partial:
        budget = Budget(archive.stat().st_size, shutil.disk_usage(folder.parent).free)
        unpacker = _Unpacker(budget, code_page, wanted)
        unpacker.unpack(archive, partial)
        unpacker.unpack_inner(partial)


@contextmanager
def explain_refusal(name: str, remedy: str) -> Iterator[None]:
    """Turn what damaged and refused archives raise into one line.

    Args:
        name: How messages call the archive.
        remedy: What to do about it.

    Raises:
        UnfreezeError: The archive is refused.
    """
    try:
        yield
    except (RefusedError, *DAMAGED) as error:
        raise UnfreezeError(f"{name} was not unpacked: {_describe(error)}: {remedy}") from error
    except OSError as error:
        # Damaged bzip2, gzip and zstd streams have no number, places outside the archive are invalid arguments.
        if error.errno not in {None, errno.EINVAL}:
            raise
        raise UnfreezeError(f"{name} was not unpacked: {_describe(error)}: {remedy}") from error


@dataclass(frozen=True)
class _Unpacker:
    """Unpacks an archive and those in it; the arguments are those of `unpack`, and what both may unpack to."""

    budget: Budget
    code_page: str | None
    wanted: Callable[[str], bool]

    def unpack(self, archive: Path, folder: Path) -> None:
        """Unpack one archive into a new folder."""
        packed = open_archive(archive, folder, code_page=self.code_page, most_bytes=self.budget.left)
        try:
            entries = check_entries(packed.entries(), self.budget)
            folder.mkdir()
            for entry in console.track(entries, f"unpacking {archive.name}", len(entries)):
                self._write_entry(packed, entry, folder / entry.name)
        finally:
            packed.close()

    def unpack_inner(self, folder: Path) -> None:
        """Unpack the archives that a folder holds in place of images; each becomes a folder and goes."""
        top = find_top(folder)
        there = [path for path in sorted(top.iterdir()) if is_visible(path)]
        if any(path.is_dir() or is_named_as_image(path) for path in there):
            return
        archives = [path for path in there if SUFFIXES.search(path.name)]
        for archive in archives:
            unpacked = top / ".unpacked"
            try:
                self.unpack(archive, unpacked)
            except (RefusedError, *DAMAGED) as error:
                raise RefusedError(f"its archive {archive.name!r:.200}: {_describe(error)}") from error
            archive.unlink()
            _refuse_third_level(unpacked, archive.name)
            _place(unpacked, top / SUFFIXES.sub("", archive.name), is_alone=len(archives) == 1)

    def _write_entry(self, packed: Zip | Tar, entry: Entry, target: Path) -> None:
        if entry.is_folder:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if not self.wanted(entry.name):
            target.touch()
            return
        with packed.open(entry) as stream:
            write_entry(stream, target, entry)


def _place(unpacked: Path, target: Path, *, is_alone: bool) -> None:
    """Give what an inner archive held its place: the only folder in it if that is named as it or is alone, or all."""
    only = find_top(unpacked, levels=1)
    if only != unpacked and (is_alone or only.name == target.name):
        target = target.with_name(only.name)
    else:
        only = unpacked
    if target.name.lower() in {path.name.lower() for path in target.parent.iterdir()}:
        raise RefusedError(f"an archive in it becomes {target.name!r:.200}, which is there already")
    only.rename(target)
    files.remove(unpacked)
    console.log.info("an archive in it was unpacked into %r", target.name)


def _refuse_third_level(folder: Path, name: str) -> None:
    further = [path.name for path in sorted(find_top(folder).iterdir()) if SUFFIXES.search(path.name)]
    if further:
        raise RefusedError(f"its archive {name!r:.200} holds a further archive, {further[0]!r:.200}")


def find_top(folder: Path, *, levels: int = 100) -> Path:
    """Return the folder in which contents begin: below folders that hold one folder and nothing else.

    Args:
        folder: Where to begin.
        levels: Most folders to go down.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("photos/cat", "photos/dog", "__MACOSX"):
        ...         Path(root, name).mkdir(parents=True)
        ...     find_top(Path(root)).name
        'photos'
    """
    for _ in range(levels):
        there = [path for path in folder.iterdir() if is_visible(path)]
        if len(there) != 1 or not there[0].is_dir():
            break
        folder = there[0]
    return folder


def is_visible(path: Path) -> bool:
    """Tell whether a file or folder is none of those that file managers leave."""
    return not path.name.startswith(".") and path.name != "__MACOSX"


def is_named_as_image(path: Path) -> bool:
    """Tell whether a file's suffix is one of an image."""
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/")


def check_entries(found: Iterable[Entry], budget: Budget) -> list[Entry]:
    """Look at all entries before the first is written.

    Raises:
        RefusedError: One of them is unsafe or damaged, or they are too many or too large.
    """
    names, entries = Names(), []
    for entry in found:
        problem = entry.problem or names.find_problem(entry.name, is_folder=entry.is_folder)
        if problem:
            raise RefusedError(f"its entry {entry.name!r:.200} {problem}")
        budget.take(entry)
        entries.append(entry)
    return entries


def write_entry(stream: IO[bytes], target: Path, entry: Entry) -> None:
    """Write one file and count: what a header says about its size may be a lie."""
    written = 0
    with target.open("xb") as copy:
        while chunk := stream.read(CHUNK):
            written += len(chunk)
            if written > entry.size:
                break
            copy.write(chunk)
    if written != entry.size:
        raise RefusedError(f"its entry {entry.name!r:.200} does not hold the {entry.size:,} bytes its header says")


def _describe(error: Exception) -> str:
    # Its text is the project's own and ends with what is wrong.
    return str(error) if isinstance(error, RefusedError) else shorten(error)
