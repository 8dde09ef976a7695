"""Readers of zip and tar archives: their entries, and the bytes of each."""

import re
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unfreeze.runtime.console import log
from unfreeze.sources.zip_names import AmbiguousNamesError, read_names

# Python before 3.11.4, such as Debian 12's, has no filter for entries.
if not hasattr(tarfile, "data_filter"):
    from backports import tarfile  # type: ignore[no-redef]
# What its reader raises of damaged archives, whichever module it is.
TarError = tarfile.TarError

# Bytes of zeros that may follow a tar archive's end: GNU tar fills its last record, of at most 1 MiB in practice.
MAX_PADDING = 1 << 20
# Bytes of the record that ends a zip archive, with the longest comment (APPNOTE 4.3.16).
MAX_ZIP_END = 22 + 65_535
CHUNK = 1 << 20
ZSTD = b"\x28\xb5\x2f\xfd"
# Archives that are not unpacked here, and the command that does.
FOREIGN = {b"7z\xbc\xaf\x27\x1c": ("7z", "7z x FILE"), b"Rar!\x1a\x07": ("rar", "unrar x FILE")}
# Suffixes of what may be an archive.
SUFFIXES = re.compile(r"\.(zip|tar|t(ar\.)?(gz|bz2?|xz|zst|zstd)|7z|rar)$", re.IGNORECASE)
ENCODING_REMEDY = "say which with -S data=archive -S data.name_encoding=CODEPAGE"


class RefusedError(Exception):
    """Why an archive is not unpacked."""


@dataclass(frozen=True)
class Entry:
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


class Zip:
    """A zip archive.

    Args:
        archive: The file.
        code_page: Encoding of names that do not say theirs; None to find it out.
    """

    def __init__(self, archive: Path, code_page: str | None) -> None:
        self._archive, self._code_page = archive, code_page
        self._packed = zipfile.ZipFile(archive)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries.

        Raises:
            RefusedError: The archive names another number of entries, or nothing says how names are encoded.
        """
        self._require_count()
        infos = self._packed.infolist()
        try:
            names, note = read_names(infos, self._code_page)
        except AmbiguousNamesError as error:
            raise RefusedError(f"{error}, so {ENCODING_REMEDY}") from error
        if note:
            log.warning("%s: %s; if that is wrong, %s", self._archive.name, note, ENCODING_REMEDY)
        for info, name in zip(infos, names, strict=True):
            # `is_dir` fails where a name begins with a zero byte, which ends it.
            yield Entry(name, info.file_size, info.filename.endswith("/"), _zip_problem(info), info)

    def open(self, entry: Entry) -> IO[bytes]:
        """Open an entry for reading."""
        assert isinstance(entry.member, zipfile.ZipInfo)
        return self._packed.open(entry.member)

    def close(self) -> None:
        """Close the file."""
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
            raise RefusedError(f"it names {named:,} entries and holds {found:,}")


class Tar:
    """A tar archive.

    Args:
        archive: The file.
        folder: What it becomes.
        stream: Its unpacked bytes, if the standard library does not unpack them itself.
    """

    def __init__(self, archive: Path, folder: Path, stream: IO[bytes] | None = None) -> None:
        self._stream = stream
        self._packed = tarfile.open(archive, fileobj=stream)  # noqa: SIM115 (closed by `close`)
        self._folder = str(folder)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, up to the mark that ends the archive.

        Raises:
            RefusedError: There is no such mark, or something follows it.
        """
        for member in self._packed:
            yield Entry(member.name, member.size, member.isdir(), _tar_problem(member), member)
        self._require_end()

    def open(self, entry: Entry) -> IO[bytes]:
        """Open an entry for reading."""
        assert isinstance(entry.member, tarfile.TarInfo)
        # The standard library's own opinion, should one of the checks above miss something.
        stream = self._packed.extractfile(tarfile.data_filter(entry.member, self._folder))
        assert stream is not None
        return stream

    def close(self) -> None:
        """Close the file."""
        self._packed.close()
        if self._stream is not None:
            self._stream.close()

    def _require_end(self) -> None:
        """Refuse an archive without its end mark: tarfile takes the end of the file, or damage, for the end."""
        stream = self._packed.fileobj
        assert stream is not None
        stream.seek(self._packed.offset)
        read = 0
        while chunk := stream.read(CHUNK):
            read += len(chunk)
            if chunk.count(0) < len(chunk) or read > MAX_PADDING:
                raise RefusedError("it is damaged, or something follows its end")
        if read < tarfile.BLOCKSIZE:
            raise RefusedError("it is cut short")


def open_archive(archive: Path, folder: Path, *, code_page: str | None, most_bytes: int) -> Zip | Tar:
    """Open an archive by its first bytes.

    Args:
        archive: The file: zip, or tar, plain or packed by gzip, bzip2, xz or zstd.
        folder: What it becomes.
        code_page: Encoding of names in a zip that do not say theirs; None to find it out.
        most_bytes: Most bytes that a tar archive may have when it is unpacked.

    Raises:
        RefusedError: It is no such archive.
    """
    with archive.open("rb") as stream:
        start = stream.read(16)
    if start.startswith(b"PK"):
        return Zip(archive, code_page)
    for mark, (name, command) in FOREIGN.items():
        if start.startswith(mark):
            raise RefusedError(f"it is a {name} archive, which only other programs unpack, such as `{command}`")
    try:
        if start.startswith(ZSTD):
            return Tar(archive, folder, _unpack_zstd(archive, folder.parent, most_bytes))
        return Tar(archive, folder)
    except tarfile.ReadError as error:
        raise RefusedError(f"it is neither a zip nor a tar archive (it begins with {start!r})") from error


def _unpack_zstd(archive: Path, folder: Path, most_bytes: int) -> IO[bytes]:
    """Unpack a file into another one without a name in a folder: tar archives are read in any order."""
    # Takes a while to import, and few archives need it.
    import pyarrow

    unpacked = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the reader closes it)
    try:
        with pyarrow.input_stream(str(archive), compression="zstd") as stream:
            while chunk := stream.read(CHUNK):
                if unpacked.tell() + len(chunk) > most_bytes:
                    raise RefusedError(f"it unpacks to more than {most_bytes:,} bytes, so it may be a bomb")
                unpacked.write(chunk)
    except BaseException:
        unpacked.close()
        raise
    unpacked.seek(0)
    return unpacked


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
