"""The image files as they came: copies in data/raw, or the source's own files where `data.in_place` is set."""

import errno
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.images.isolated import ImageFile, refuse
from unfreeze.paths import Paths
from unfreeze.runtime.remote_folder import RemoteFolder

# Columns that data/raw_index.csv has of images that stay where they are.
STATE = ["bytes", "sha256"]


@dataclass(frozen=True)
class Originals:
    """The image files of a study.

    Args:
        root: Folder that the images' paths are relative to; also one at an address, if they stay there.
        digests: SHA-256 by path, of images that stay in the source; None for copies, whose content DVC knows.
    """

    root: Path | RemoteFolder
    digests: Mapping[str, str] | None = None

    @classmethod
    def open(cls, paths: Paths, table: pd.DataFrame | None = None) -> "Originals":
        """Find the images of a checkout.

        Args:
            paths: The checkout.
            table: `path` and `sha256` of images that stay in the source; those of the manifest by default.
        """
        if not paths.in_place.exists():
            return cls(paths.raw)
        if table is None:
            table = pd.read_parquet(paths.manifest, columns=["path", "sha256"])
        place = files.read_json(paths.in_place)["root"]
        # A relative source is relative to the checkout.
        root = RemoteFolder(place) if "://" in place else paths.root / place
        return cls(root, dict(zip(table["path"], table["sha256"], strict=True)))

    def locate(self, names: Iterable[str]) -> list[ImageFile]:
        """Return the files of images, which may have changed if they stay in the source."""
        return [self.root / name for name in names]

    def read(self, name: str) -> Path | bytes:
        """Return an image for the decoder: the file of a copy, or the bytes of a file of the source.

        Raises:
            UnfreezeError: The file of the source is missing, cannot be read, or has changed since it was listed.
        """
        path = self.root / name
        if self.digests is None:
            return cast(Path, path)
        try:
            content = path.read_bytes()
        except OSError as error:
            refuse(path, f"cannot be read ({error.strerror})")
        if hashlib.sha256(content).hexdigest() != self.digests[name]:
            refuse_changed(path)
        return content

    def hash(self, name: str) -> str:
        """Return the SHA-256 of an image's file: as it is listed, if it stays in the source.

        Raises:
            UnfreezeError: A copy is missing.
        """
        if self.digests is not None:
            return self.digests[name]
        path = cast(Path, self.root / name)
        if not path.is_file():
            raise UnfreezeError(f"{path} is missing: bring the images here with `dvc repro download` or `dvc pull`")
        return files.hash_file(path)


def list_states(images: Originals, index: pd.DataFrame) -> list[list[int]]:
    """Return size in bytes of each image, and time of its last change in nanoseconds or its version at an address.

    Args:
        images: The images.
        index: `path` of each; and `bytes`, if they stay in the source.

    Raises:
        UnfreezeError: A file of the source is missing or has another size.
    """
    found = []
    sizes = index["bytes"].tolist() if images.digests is not None else None
    listed = images.root.list_states() if isinstance(images.root, RemoteFolder) else {}
    for number, path in enumerate(images.locate(index["path"])):
        try:
            size, version = _find_state(path, listed)
        except OSError as error:
            if sizes is None:
                raise
            refuse(path, f"cannot be read ({error.strerror})")
        if sizes is not None and size != sizes[number]:
            refuse_changed(path)
        found.append([size, version])
    return found


def _find_state(path: ImageFile, listed: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    if isinstance(path, Path):
        state = path.stat()
        return state.st_size, state.st_mtime_ns
    if path.name not in listed:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return listed[path.name]


def require_unchanged(images: Originals, rows: pd.DataFrame) -> None:
    """Refuse images of the source whose content is not what was listed; copies pass.

    Args:
        images: The images, with the digests that were listed.
        rows: `path` of each image, and its `sha256` as it was read now.

    Raises:
        UnfreezeError: Names the first that changed.
    """
    if images.digests is not None:
        for name, digest in zip(rows["path"], rows["sha256"], strict=True):
            if digest != images.digests[name]:
                refuse_changed(images.root / name)


def refuse_changed(path: ImageFile) -> NoReturn:
    """Refuse a file of the source that changed since it was listed."""
    refuse(path, "has changed since it was listed")
