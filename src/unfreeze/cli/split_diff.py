"""What moved between two versions of the split."""

import io
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unfreeze import dvc_repo, files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.base import CALIBRATION, FOLDS

NOWHERE = "-"
EXAMPLES = 20


def compare(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Put two versions of the split beside each other.

    Args:
        before: `id` and `fold` of each image.
        after: The same of the later version.

    Returns:
        One row an image of either: `id`, `before` and `after`, a fold or `-` where the image is not there.
    """
    table = before.merge(after, on="id", how="outer", suffixes=("_before", "_after")).fillna(NOWHERE)
    return table.rename(columns={"fold_before": "before", "fold_after": "after"})[["id", "before", "after"]]


def summarize(table: pd.DataFrame) -> dict[str, Any]:
    """Return how many images stayed, moved, came and went, and which moved."""
    is_new, is_gone = table["before"] == NOWHERE, table["after"] == NOWHERE
    folds = [*FOLDS, *([CALIBRATION] if table[["before", "after"]].isin([CALIBRATION]).any(axis=None) else [])]
    moved = table[(table["before"] != table["after"]) & ~is_new & ~is_gone]
    return {
        "stayed": int((table["before"] == table["after"]).sum()),
        "moved": moved.to_dict("records"),
        "added": {fold: int((is_new & (table["after"] == fold)).sum()) for fold in folds},
        "removed": {fold: int((is_gone & (table["before"] == fold)).sum()) for fold in folds},
    }


def read(paths: Paths, revision: str | None) -> pd.DataFrame:
    """Read a version of the split.

    Args:
        paths: The checkout.
        revision: A git revision whose split DVC holds; None is the one in the folder.

    Raises:
        UnfreezeError: There is no such version here.
    """
    if revision is None:
        if not paths.split.exists():
            raise UnfreezeError("there is no data/split.csv yet: run `dvc repro split`")
        return files.read_csv(paths.split)
    return files.read_csv(io.StringIO(dvc_repo.read_version(paths, paths.split, revision)))


def show(result: dict[str, Any]) -> None:
    """Print the summary as tables."""
    console = Console()
    counts = Table("", *result["added"])
    for name in ("added", "removed"):
        counts.add_row(name, *(f"{result[name][fold]:,}" for fold in result[name]))
    console.print(f"{result['stayed']:,} images stayed in their fold, {len(result['moved']):,} moved.")
    console.print(counts)
    if result["moved"]:
        moved = Table("image", "from", "to")
        for row in result["moved"][:EXAMPLES]:
            moved.add_row(escape(row["id"]), row["before"], row["after"])
        console.print(moved)
    if len(result["moved"]) > EXAMPLES:
        console.print(f"The first {EXAMPLES} are shown, --json lists all.")
