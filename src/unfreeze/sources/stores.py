"""Files and folders in stores that fsspec knows, such as S3, Google Cloud Storage, Azure and WebDAV."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import fsspec

from unfreeze.runtime.remote_folder import list_tree
from unfreeze.sources.addresses import HTTP, describe_error, find_protocol, make_refusal
from unfreeze.sources.answers import CHUNK, Answer, TryAgainError, Version


@contextmanager
def open_stored_file(address: str, known: Version, begin: int) -> Iterator[Answer]:
    """Open a file in a store, from a byte on if it is still the version that is known.

    Args:
        address: Any address that fsspec knows.
        known: What the bytes that have come are part of.
        begin: Number of bytes that have come.

    Yields:
        The answer, which begins at 0 if the file is another version.

    Raises:
        UnfreezeError: Another try would not help.
        TryAgainError: Another try may help.
    """
    with _translate_errors(address):
        filesystem, path = _open_filesystem(address)
        version = Version(address, filesystem.ukey(path), filesystem.info(path).get("size"))
    begin = begin if version == known else 0
    yield Answer(version, begin, _read_chunks(filesystem, path, begin, address))


def _read_chunks(filesystem: Any, path: str, begin: int, address: str) -> Iterator[bytes]:
    with _translate_errors(address), filesystem.open(path, "rb") as stream:
        stream.seek(begin)
        while chunk := stream.read(CHUNK):
            yield chunk


def is_archive(address: str) -> bool:
    """Tell whether an address is that of an archive, not of a folder; the web has no folders.

    Where a store cannot be reached the answer is no: whoever lists the folder next says why.

    Args:
        address: Any address that fsspec knows.
    """
    if find_protocol(address) in HTTP:
        return True
    # The packages behind fsspec raise nearly anything.
    with suppress(Exception):
        filesystem, path = _open_filesystem(address)
        return bool(filesystem.isfile(path))
    return False


def list_folder(address: str) -> dict[str, str]:
    """Return the address of each file below one, by its path there.

    Args:
        address: A folder at any address that fsspec can list.

    Raises:
        UnfreezeError: Another try would not help.
        TryAgainError: Another try may help.
    """
    with _translate_errors(address):
        filesystem, root = fsspec.url_to_fs(address)
        found = list_tree(filesystem, root)
    return {name: filesystem.unstrip_protocol(entry["name"]) for name, entry in found.items()}


def _open_filesystem(address: str) -> tuple[Any, str]:
    filesystem, path = fsspec.url_to_fs(address)
    # One instance serves a whole process and remembers what it has seen.
    filesystem.invalidate_cache()
    return filesystem, path


@contextmanager
def _translate_errors(address: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise make_refusal(address, describe_error(error)) from error
    # The packages behind fsspec raise nearly anything.
    except Exception as error:
        raise TryAgainError(describe_error(error)) from error
