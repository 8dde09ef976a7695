"""One image of the source, found by what people call it: a path or its SHA-256."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.images.originals import Originals
from unfreeze.paths import Paths

DIGEST = re.compile("[0-9a-f]{64}")
MOST_NAMED = 3


@dataclass(frozen=True)
class RawImage:
    """The files below data/raw that have the same bytes.

    Args:
        sha256: Their digest.
        names: Their paths below data/raw.
        labels: Their labels, as the source gives them, each once.
        known_labels: All labels of the source.
    """

    sha256: str
    names: tuple[str, ...]
    labels: tuple[str, ...]
    known_labels: tuple[str, ...]


def find_image(text: str, paths: Paths) -> RawImage:
    """Find an image.

    Args:
        text: A file, a path below data/raw or below the source, or a SHA-256.
        paths: The checkout.

    Raises:
        UnfreezeError: There is no such image, or several have that path.
    """
    if not paths.raw_index.exists():
        raise UnfreezeError("there are no images yet (data/raw_index.csv is missing): run `dvc repro check`")
    index = files.read_csv(paths.raw_index)
    images = Originals.open(paths, index)
    digest = text if DIGEST.fullmatch(text) else _hash(text, index, images)
    names = _list_files(digest, index, images, paths)
    if not names:
        raise UnfreezeError(
            f"no image of data/raw has the bytes of {text!r}: give a path as in data/raw_index.csv, or a SHA-256"
        )
    labels = index.set_index("path")["label"]
    return RawImage(digest, tuple(names), tuple(sorted(set(labels[names]))), tuple(sorted(set(labels))))


def _hash(text: str, index: pd.DataFrame, images: Originals) -> str:
    """Return the SHA-256 of the image that a path means."""
    name = text.replace("\\", "/").removeprefix("./")
    if name in set(index["path"]):
        return images.hash(name)
    if Path(text).is_file():
        return files.hash_file(Path(text))
    # The source's folder may have stood above that of the classes, or a person has left out the folders.
    meant = [path for path in index["path"] if name.endswith(f"/{path}") or path.endswith(f"/{name}")]
    if len(meant) == 1:
        return images.hash(meant[0])
    if not meant:
        raise UnfreezeError(
            f"{text!r} is no image of data/raw and no file: give a path as in data/raw_index.csv, or a SHA-256"
        )
    more = f" and {len(meant) - MOST_NAMED} more" if len(meant) > MOST_NAMED else ""
    raise UnfreezeError(
        f"{text!r} may be {', '.join(meant[:MOST_NAMED])}{more}: give the whole path as in data/raw_index.csv"
    )


def _list_files(digest: str, index: pd.DataFrame, images: Originals, paths: Paths) -> list[str]:
    """Return the paths below data/raw of all files with a digest, from the manifest if it is of these files."""
    if paths.manifest.exists():
        rows = pd.read_parquet(paths.manifest, columns=["path", "sha256"])
        if rows["path"].tolist() == index["path"].tolist():
            return rows.loc[rows["sha256"] == digest, "path"].tolist()
    return [name for name in index["path"] if images.hash(name) == digest]
