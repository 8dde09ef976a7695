"""What a layout is, and the registry of the ways to read a source.

A reading is one file in `unfreeze.sources.layouts` or in `plugins/layouts` of the checkout, which calls `register`.
Its function is given the files of a source and returns what they mean, None where it has nothing to say, or raises
`DoesNotFitError` with the reason why they cannot be read so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze.runtime.plugins import load_entries
from unfreeze.sources.inventory import Listing

# Columns of an index that say more than a label, in order.
EXTRAS = ("weight", "group", "fold")


class DoesNotFitError(Exception):
    """Why a source cannot be read in one way; another may fit."""


@dataclass(frozen=True)
class Layout:
    """What the files of a source mean.

    Args:
        reading: Name of the way they were read.
        explanation: That way in one sentence, with the folders or columns it took.
        base: Folder that the paths of the index are relative to, from the source's own; empty for that one.
        index: One row an image, sorted by path: `path` and `label`; `weight`, `group` and `fold` (train, val, test or
            empty) where the source gives them.
        settings: Settings by dotted name that choose this way.
        left_out: Files that are not in the index, by reason; paths from the source's own folder.
        notes: What people should know, such as an encoding that was guessed.
        unpack: Writes the images of the index into a folder, where they are no files of their own.
        seen: Number of files, and of images in files of several.
        rank: How sure the reading is. What is least sure, 0, gives way to what is most sure, 2; all others that
            differ are refused.
    """

    reading: str
    explanation: str
    base: str
    index: pd.DataFrame
    settings: Mapping[str, Any]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unpack: Callable[[Path], None] | None = None
    seen: int = 0
    rank: int = 2

    @property
    def paths(self) -> list[str]:
        """Paths of the images from the source's own folder."""
        paths = self.index["path"].tolist()
        return [f"{self.base}/{path}" for path in paths] if self.base else paths


@dataclass(frozen=True)
class Reading:
    """One way to read a source.

    Args:
        name: Short name for people, such as "class folders".
        read: Reads the files of a source.
    """

    name: str
    read: Callable[[Listing], Layout | None]


_READINGS: dict[str, Reading] = {}


def register(reading: Reading) -> None:
    """Add a reading to the registry; one of the same name is replaced."""
    _READINGS[reading.name] = reading


def load_readings() -> list[Reading]:
    """Return all readings, the package's and those of the checkout, by name."""
    load_entries("layouts", "unfreeze.sources.layouts")
    return [_READINGS[name] for name in sorted(_READINGS)]


def make_index(rows: list[tuple[str, str, str]], base: str, *, folds: bool) -> pd.DataFrame:
    """Make an index of rows.

    Args:
        rows: Path from the source's own folder, label and fold of each image.
        base: Folder that the index's paths are relative to, which holds all images; empty for the source's own.
        folds: Whether the folds are given; else the column is left out.
    """
    cut = len(base) + 1 if base else 0
    index = pd.DataFrame(
        sorted((path[cut:], label, fold) for path, label, fold in rows), columns=["path", "label", "fold"]
    )
    return index if folds else index.drop(columns="fold")
