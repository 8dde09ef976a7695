"""Where finished shards are kept: a folder that all machines see, or any address that fsspec knows."""

import hashlib
import io
import json
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem

from unfreeze import files
from unfreeze.cluster.shards import Shard
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.runtime.console import log
from unfreeze.runtime.redaction import redact


class Storage:
    """Finished shards, each a file of rows and a description with its digest, which is written last.

    Args:
        address: A folder, or an address of fsspec; credentials come from the environment.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            self._system, self._root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise UnfreezeError(
                f"cluster.storage={redact(address)} is no folder and no address that {socket.gethostname()} can use "
                f"({error}): give a folder that all machines see, or install there the package that fsspec names"
            ) from error
        self._is_local = isinstance(self._system, LocalFileSystem)
        self._has_folder = False

    def holds(self, shard: Shard) -> bool:
        """Tell whether a shard is finished.

        Raises:
            UnfreezeError: The storage cannot be read.
        """
        # Some systems keep lists of files, and other machines write there too.
        self._system.invalidate_cache()
        try:
            with _expect_os_errors():
                self._system.info(self._name(shard, "json"))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise self._refuse("read", error) from error
        return True

    def read(self, shard: Shard, folder: Path) -> np.ndarray | None:
        """Return the rows of a shard.

        Args:
            shard: The shard.
            folder: Takes the file of a shard that lies at an address, until the caller removes it.

        Returns:
            An array that is read from disk where it is used; None if the shard is not finished, or damaged.

        Raises:
            UnfreezeError: The storage cannot be read, or the folder has no room.
        """
        if not self.holds(shard):
            return None
        path = Path(self._name(shard, "npy"))
        try:
            with _expect_os_errors():
                content = self._system.cat_file(self._name(shard, "json"))
                if not self._is_local:
                    path = folder / f"{shard.id}.npy"
                    self._system.get_file(self._name(shard, "npy"), str(path))
            if files.hash_file(path) != json.loads(content)["sha256"]:
                raise ValueError("its bytes are not those that were written")
            rows: np.ndarray = np.load(path, mmap_mode="r")
        except (FileNotFoundError, ValueError, KeyError) as error:
            log.warning("shard %s from %s is damaged (%s): it is computed again", shard.id[:12], self.address, error)
            # From here on it is not finished, for other readers too; another one may have removed it just now.
            with suppress(FileNotFoundError):
                self._system.rm_file(self._name(shard, "json"))
            return None
        except OSError as error:
            raise self._refuse("read", error) from error
        return rows

    def write(self, shard: Shard, blocks: Iterable[np.ndarray]) -> None:
        """Write the rows of a shard; it counts as finished only when all of it is there.

        Args:
            shard: The shard.
            blocks: Its rows, some at a time and in order.

        Raises:
            UnfreezeError: The storage cannot be written, or the rows are fewer or more than the shard's.
        """
        mine = f"{socket.gethostname()}-{os.getpid()}"
        with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
            path = Path(self._name(shard, f"{mine}.partial")) if self._is_local else Path(scratch, "rows.npy")
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                described = _write_rows(path, shard, blocks)
                if self._is_local:
                    path.replace(self._name(shard, "npy"))
                else:
                    self._upload(path, shard)
                self._put(shard, json.dumps({**described, "node": mine}).encode(), mine)
            except OSError as error:
                raise self._refuse("write", error) from error
            finally:
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _upload(self, path: Path, shard: Shard) -> None:
        if not self._has_folder:
            # Stores of objects have no folders, and may refuse to be asked for one; then writing tells.
            with suppress(Exception):
                self._system.makedirs(self._root, exist_ok=True)
            self._has_folder = True
        with _expect_os_errors():
            self._system.put_file(str(path), self._name(shard, "npy"))

    def _put(self, shard: Shard, content: bytes, mine: str) -> None:
        if self._is_local:
            partial = Path(self._name(shard, f"{mine}.partial"))
            partial.write_bytes(content)
            partial.replace(self._name(shard, "json"))
        else:
            with _expect_os_errors():
                self._system.pipe_file(self._name(shard, "json"), content)

    def _refuse(self, verb: str, error: OSError) -> UnfreezeError:
        remedy = {
            "read": "check the connection, its credentials in the environment, and the space for temporary files",
            "write": "free space there, or give a folder that all machines may write",
        }[verb]
        where = f"cluster.storage={redact(self.address)}"
        return UnfreezeError(f"{socket.gethostname()} cannot {verb} {where} ({shorten(error, named=True)}): {remedy}")

    def _name(self, shard: Shard, suffix: str) -> str:
        return f"{self._root}/{shard.id}.{suffix}"


@contextmanager
def _expect_os_errors() -> Iterator[None]:
    """Raise the errors of the packages behind fsspec, which are of any kind, as those of a file."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(shorten(error, named=True)) from error


def _join_texts(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks of numbers as they are, and byte strings in one block: as wide as the longest of a shard."""
    rest = iter(blocks)
    for block in rest:
        yield block if block.dtype.kind != "S" else np.concatenate([block, *rest])


def _write_rows(path: Path, shard: Shard, blocks: Iterable[np.ndarray]) -> dict[str, Any]:
    """Write rows as NumPy's file; return digest and number.

    Nothing waits for the disk: a file that a machine's end cut short does not have the digest in its description.
    """
    written, expected = 0, shard.stop - shard.start
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for block in _join_texts(blocks):
            if not written:
                header = io.BytesIO()
                shape = (expected, *block.shape[1:])
                np.lib.format.write_array_header_1_0(
                    header, {"descr": block.dtype.str, "fortran_order": False, "shape": shape}
                )
                digest.update(header.getbuffer())
                stream.write(header.getbuffer())
            rows = np.ascontiguousarray(block).data
            digest.update(rows)
            stream.write(rows)
            written += len(block)
    if written != expected:
        raise RuntimeError(f"shard {shard.start} to {shard.stop} got {written} rows, expected {expected}")
    return {"sha256": digest.hexdigest(), "rows": written}
