"""Folders at addresses of fsspec, such as s3://bucket/photos, whose files are read where they are."""

import errno
import functools
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.runtime.redaction import redact

# Files that are read at the same time: over a network they are mostly waited for.
THREADS = 16


@dataclass(frozen=True)
class RemoteFolder:
    """A folder at an address; credentials come from the environment.

    It holds nothing but the address, so each process that it is sent to opens a connection of its own.

    Args:
        address: Address of the folder.
    """

    address: str

    def __truediv__(self, name: str) -> "RemoteFile":
        return RemoteFile(self, name)

    def list_states(self) -> dict[str, tuple[int, int]]:
        """Return size in bytes and version of each file, by its path; a changed file has another version.

        Raises:
            UnfreezeError: The folder is missing or cannot be listed.
        """
        with _explain(self.address):
            found = list_tree(*_open(self.address, os.getpid()))
        return {name: _describe(entry) for name, entry in found.items()}


@dataclass(frozen=True)
class RemoteFile:
    """A file in a folder at an address.

    Args:
        folder: The folder.
        name: Its path in the folder.
    """

    folder: RemoteFolder
    name: str

    def __str__(self) -> str:
        return redact(f"{self.folder.address.rstrip('/')}/{self.name}")

    def read_bytes(self, most: int | None = None) -> bytes:
        """Return the file's content, or its first bytes.

        Args:
            most: How many bytes; None for all.

        Raises:
            FileNotFoundError: It is missing.
            UnfreezeError: It cannot be read.
        """
        try:
            with _explain(str(self)):
                filesystem, root = _open(self.folder.address, os.getpid())
                content = filesystem.cat_file(f"{root.rstrip('/')}/{self.name}", start=None, end=most)
        except _MissingError as error:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self)) from error
        return bytes(content)

    def hash(self) -> str:
        """Return the SHA-256 of the content; raises as `read_bytes`."""
        return hashlib.sha256(self.read_bytes()).hexdigest()


class _MissingError(UnfreezeError):
    """There is nothing at an address."""


def list_tree(filesystem: Any, root: str) -> dict[str, dict[str, Any]]:
    """Return what a file system of fsspec says of each file below a folder, by its path there.

    Args:
        filesystem: The file system.
        root: The folder, as the file system names it.
    """
    # One instance serves a whole process and remembers what it has seen.
    filesystem.invalidate_cache()
    root = f"{root.rstrip('/')}/"
    found: dict[str, dict[str, Any]] = {}
    waiting = [root.rstrip("/")]
    # Not `find` or `walk`: they leave out folders below that could not be listed.
    while waiting:
        for entry in filesystem.ls(waiting.pop(), detail=True):
            path = entry["name"]
            # Stores list a folder in itself.
            if path.startswith(root) and path.rstrip("/") != root.rstrip("/"):
                if entry["type"] == "directory":
                    waiting.append(path)
                elif not path.endswith("/"):
                    found[path.removeprefix(root)] = entry
    return found


def _describe(entry: dict[str, Any]) -> tuple[int, int]:
    """Return size in bytes and version of a file, from what a file system says of it.

    Stores name what changes with a file in different ways (ETag, md5Hash, modified), so the version is the digest of
    all they say, as a number of 60 bits.
    """
    return int(entry["size"] or 0), int(files.digest({key: str(value) for key, value in entry.items()})[:15], 16)


@functools.cache
def _open(address: str, process: int) -> tuple[Any, str]:
    """Return the file system of an address and the folder's name there, once a process, for all of its threads."""
    import fsspec

    filesystem, root = fsspec.url_to_fs(address)
    return filesystem, str(root)


@contextmanager
def _explain(address: str) -> Iterator[None]:
    """Turn what the packages behind fsspec raise, which is nearly anything, into one line."""
    try:
        yield
    except Exception as error:
        reason = shorten(error, hide=redact, named=True)
        kind = _MissingError if isinstance(error, FileNotFoundError) else UnfreezeError
        raise kind(
            f"{socket.gethostname()} cannot read {redact(address)} ({reason}): check the address, the connection and "
            "the credentials in the environment there, and run the same again"
        ) from error
