"""The image files as they came: copies in data/raw, or the source's own files where `data.in_place` is set."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths

# Columns that data/raw_index.csv has of images that stay where they are.
STATE = ["bytes", "sha256"]


@dataclass(frozen=True)
class Originals:
    """The image files of a study.

    Args:
        root: Folder that the images' paths are relative to.
        digests: SHA-256 by path, of images that stay in the source; None for copies, whose content DVC knows.
    """

    root: Path
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
        # A relative source is relative to the checkout.
        root = paths.root / files.read_json(paths.in_place)["root"]
        return cls(root, dict(zip(table["path"], table["sha256"], strict=True)))

    def locate(self, names: Iterable[str]) -> list[Path]:
        """Return the files of images, which may have changed if they stay in the source."""
        return [self.root / name for name in names]

    def read(self, name: str) -> Path | bytes:
        """Return an image for the decoder: the file of a copy, or the bytes of a file of the source.

        Raises:
            UnfreezeError: The file of the source is missing, or has changed since it was listed.
        """
        path = self.root / name
        if self.digests is None:
            return path
        try:
            content = path.read_bytes()
        except OSError as error:
            _refuse(path, f"cannot be read ({error.strerror})")
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
        path = self.root / name
        if not path.is_file():
            raise UnfreezeError(f"{path} is missing: bring the images here with `dvc repro download` or `dvc pull`")
        return files.hash_file(path)


def list_states(images: Originals, index: pd.DataFrame) -> list[list[int]]:
    """Return size in bytes and time of the last change in nanoseconds of each image.

    Args:
        images: The images.
        index: `path` of each; and `bytes`, if they stay in the source.

    Raises:
        UnfreezeError: A file of the source is missing or has another size.
    """
    found = []
    sizes = index["bytes"].tolist() if images.digests is not None else None
    for number, path in enumerate(images.locate(index["path"])):
        try:
            state = path.stat()
        except OSError as error:
            if sizes is None:
                raise
            _refuse(path, f"cannot be read ({error.strerror})")
        if sizes is not None and state.st_size != sizes[number]:
            refuse_changed(path)
        found.append([state.st_size, state.st_mtime_ns])
    return found


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


def refuse_changed(path: Path) -> NoReturn:
    """Refuse a file of the source that changed since it was listed."""
    _refuse(path, "has changed since it was listed")


def _refuse(path: Path, problem: str) -> NoReturn:
    raise UnfreezeError(
        f"{path} {problem}; data.in_place is set, so it is read where it is: bring back the file that was there, or "
        "list the source again with `dvc repro --force download`, then run `dvc repro` (or `dvc exp run`)"
    )
