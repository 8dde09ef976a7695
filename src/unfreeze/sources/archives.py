"""Zip and tar archives from strangers: unpacked whole, or refused with the entry's name and nothing written."""

import errno
import lzma
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console

# Python before 3.11.4, such as Debian 12's, has no filter for entries.
if not hasattr(tarfile, "data_filter"):
    from backports import tarfile  # type: ignore[no-redef]

# ImageNet has 1.4 million images. An entry costs an inode on disk and about 1 KB of memory here.
MAX_ENTRIES = 5_000_000
# Photographs are compressed already, so an archive of them is about as large as they are; uncompressed drawings
# shrink to a hundredth. Bombs begin near 1,032, the most that deflate reaches.
MAX_RATIO = 200
# Bytes. So little does no harm at any ratio, and small text files reach high ones.
ANY_RATIO_UP_TO = 100_000_000
# Bytes of zeros that may follow a tar archive's end: GNU tar fills its last record, of at most 1 MiB in practice.
MAX_PADDING = 1 << 20
# Bytes of a part of a path that Linux, macOS and Windows all take.
MAX_NAME = 255

# Bytes of the record that ends a zip archive, with the longest comment (APPNOTE 4.3.16).
MAX_ZIP_END = 22 + 65_535

CHUNK = 1 << 20
# What the standard library raises on damaged archives; OSError, which a full disk raises too, is distinguished by
# its number.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    ValueError,
)


class _RefusedError(Exception):
    """Why an archive is not unpacked."""


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

    def problem(self, name: str, *, is_folder: bool) -> str | None:
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


@dataclass(frozen=True)
class _Entry:
    """One file or folder of an archive.

    Args:
        name: Its path as the archive has it.
        size: Bytes, as its header says.
        is_folder: Whether it is one.
        problem: Why such an entry is not unpacked.
        member: What the standard library has it as.
    """

    name: str
    size: int
    is_folder: bool
    problem: str | None
    member: zipfile.ZipInfo | tarfile.TarInfo


class _Zip:
    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._packed = zipfile.ZipFile(archive)

    def entries(self) -> Iterator[_Entry]:
        self._require_count()
        for info in self._packed.infolist():
            # `filename` ends at a NUL byte.
            yield _Entry(info.orig_filename, info.file_size, info.is_dir(), _zip_problem(info), info)

    def open(self, entry: _Entry) -> IO[bytes]:
        assert isinstance(entry.member, zipfile.ZipInfo)
        return self._packed.open(entry.member)

    def close(self) -> None:
        self._packed.close()

    def _require_count(self) -> None:
        """Refuse an archive that names another number of entries: zipfile does not compare it with what it finds."""
        with self._archive.open("rb") as stream:
            stream.seek(max(self._archive.stat().st_size - MAX_ZIP_END, 0))
            end = stream.read()
        place = end.rfind(b"PK\x05\x06") + 10
        named = int.from_bytes(end[place : place + 2], "little")
        found = len(self._packed.infolist())
        # All ones stand for a number kept elsewhere; some programs write larger ones without their upper bits.
        if named not in {0xFFFF, found & 0xFFFF}:
            raise _RefusedError(f"it names {named:,} entries and holds {found:,}")


class _Tar:
    def __init__(self, archive: Path, folder: Path) -> None:
        self._packed = tarfile.open(archive)  # noqa: SIM115 (closed by `close`)
        self._folder = str(folder)

    def entries(self) -> Iterator[_Entry]:
        for member in self._packed:
            yield _Entry(member.name, member.size, member.isdir(), _tar_problem(member), member)
        self._require_end()

    def open(self, entry: _Entry) -> IO[bytes]:
        assert isinstance(entry.member, tarfile.TarInfo)
        # The standard library's own opinion, should one of the checks above miss something.
        stream = self._packed.extractfile(tarfile.data_filter(entry.member, self._folder))
        assert stream is not None
        return stream

    def close(self) -> None:
        self._packed.close()

    def _require_end(self) -> None:
        """Refuse an archive without its end mark: tarfile takes the end of the file, or damage, for the end."""
        stream = self._packed.fileobj
        assert stream is not None
        stream.seek(self._packed.offset)
        read = 0
        while chunk := stream.read(CHUNK):
            read += len(chunk)
            if chunk.count(0) < len(chunk) or read > MAX_PADDING:
                raise _RefusedError("it is damaged, or something follows its end")
        if read < tarfile.BLOCKSIZE:
            raise _RefusedError("it is cut short")


def unpack(archive: Path, folder: Path, *, name: str, wanted: Callable[[str], bool] = lambda _: True) -> None:
    """Unpack a zip or tar archive, whole or not at all.

    All entries are looked at before the first is written. Refused are names that leave the folder or that two file
    systems would read differently, links, devices, encrypted entries, archives that are damaged or cut short, and
    those that unpack to more than is plausible or than the disk has room for.

    Args:
        archive: The archive: zip, or tar, plain or packed by gzip, bzip2 or xz.
        folder: What it becomes. An old one is replaced.
        name: How messages call the archive.
        wanted: Whether an entry's content is needed; of all others an empty file is made.

    Raises:
        UnfreezeError: The archive is refused; the message names the entry and what is wrong with it.
    """
    remedy = "use a sound copy, or unpack it yourself, look at it and use -S data=folder -S data.source=PATH"
    try:
        with files.atomic(folder) as partial:
            _unpack(archive, partial, wanted)
    except (_RefusedError, *DAMAGED) as error:
        raise UnfreezeError(f"{name} was not unpacked: {_one_line(error)}: {remedy}") from error
    except OSError as error:
        # Damaged bzip2 and gzip streams have no number, places outside the archive are invalid arguments.
        if error.errno not in {None, errno.EINVAL}:
            raise
        raise UnfreezeError(f"{name} was not unpacked: {_one_line(error)}: {remedy}") from error


def _unpack(archive: Path, folder: Path, wanted: Callable[[str], bool]) -> None:
    packed = _open(archive, folder)
    try:
        entries = list(
            _check_entries(packed.entries(), archive.stat().st_size, shutil.disk_usage(folder.parent).free)
        )
        folder.mkdir()
        for entry in console.track(entries, f"unpacking {archive.name}", len(entries)):
            target = folder / entry.name
            if entry.is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if not wanted(entry.name):
                target.touch()
                continue
            with packed.open(entry) as stream:
                _write(stream, target, entry)
    finally:
        packed.close()


def _open(archive: Path, folder: Path) -> _Zip | _Tar:
    with archive.open("rb") as stream:
        start = stream.read(16)
    if start.startswith(b"PK"):
        return _Zip(archive)
    try:
        return _Tar(archive, folder)
    except tarfile.ReadError as error:
        raise _RefusedError(f"it is neither a zip nor a tar archive (it begins with {start!r})") from error


def _check_entries(entries: Iterable[_Entry], packed_size: int, free: int) -> Iterator[_Entry]:
    names, total = Names(), 0
    for number, entry in enumerate(entries, 1):
        total += entry.size
        problem = entry.problem or names.problem(entry.name, is_folder=entry.is_folder)
        if problem:
            raise _RefusedError(f"its entry {entry.name!r:.200} {problem}")
        if number > MAX_ENTRIES:
            raise _RefusedError(f"it has more than {MAX_ENTRIES:,} entries, so it may be a bomb")
        if total > max(MAX_RATIO * packed_size, ANY_RATIO_UP_TO):
            raise _RefusedError(
                f"up to its entry {entry.name!r:.200} it unpacks to {total:,} bytes, "
                f"more than {MAX_RATIO} times its size, so it may be a bomb"
            )
        if total > free:
            raise _RefusedError(
                f"up to its entry {entry.name!r:.200} it unpacks to {total:,} bytes, and {free:,} are free"
            )
        yield entry


def _write(stream: IO[bytes], target: Path, entry: _Entry) -> None:
    """Write one file and count: what a header says about its size may be a lie."""
    written = 0
    with target.open("xb") as copy:
        while chunk := stream.read(CHUNK):
            written += len(chunk)
            if written > entry.size:
                break
            copy.write(chunk)
    if written != entry.size:
        raise _RefusedError(f"its entry {entry.name!r:.200} does not hold the {entry.size:,} bytes its header says")


def _zip_problem(info: zipfile.ZipInfo) -> str | None:
    # The first bit of the flags (APPNOTE 4.4.4); the upper half of the attributes is a Unix mode, or 0.
    if info.flag_bits & 1:
        return "is encrypted"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if stat.S_ISLNK(kind):
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a folder"
    return None


def _tar_problem(member: tarfile.TarInfo) -> str | None:
    if member.issym() or member.islnk():
        return "is a link"
    if not (member.isreg() or member.isdir()):
        return "is neither a file nor a folder"
    if member.issparse():
        return "is a sparse file, whose size says nothing"
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
