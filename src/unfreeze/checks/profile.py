"""The profile of a data version, small enough for git, and how far two versions lie apart."""

import json
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from unfreeze import files

MEASURED = ("width", "height", "bytes", "brightness", "sharpness", "entropy")
# Of a value that comes more than once, whether its own share counts.
SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
# Values at these shares of the images stand for all: a distance read off them is right to 0.01.
SHARES = np.linspace(0, 1, 101)
# Versions in git that are looked at for one with other images.
MOST_COMMITS = 200


def profile(rows: pd.DataFrame, name: str) -> dict[str, Any]:
    """Describe the usable images.

    Args:
        rows: The manifest's rows of usable images.
        name: The data set's name.

    Returns:
        The `name`, `digest` of all images and labels, number of `images`, `classes` with their shares, and
        `quantiles` of each measured property.
    """
    return {
        "name": name,
        "digest": files.digest(sorted(zip(rows["sha256"], rows["label"], strict=True))),
        "images": len(rows),
        "classes": {str(name): float(share) for name, share in rows["label"].value_counts(normalize=True).items()},
        "quantiles": {name: _quantiles(rows[name]) for name in MEASURED} if len(rows) else {},
    }


def previous(path: Path, now: dict[str, Any]) -> dict[str, Any] | None:
    """Return the profile of the data version before, the last one in git's history with other images of the set.

    Args:
        path: Where profiles lie, in a git checkout.
        now: Today's profile.

    Returns:
        None where there is no history or it holds no other version.
    """

    def git(*arguments: str) -> str | None:
        done = subprocess.run(["git", *arguments], cwd=path.parent, capture_output=True, text=True, check=False)
        return None if done.returncode else done.stdout

    if not path.parent.is_dir():
        return None
    commits = git("log", "--format=%H", f"--max-count={MOST_COMMITS}", "--", path.name) or ""
    for commit in commits.split():
        text = git("show", f"{commit}:./{path.name}")
        # A version that was committed half merged is none.
        with suppress(ValueError, KeyError, TypeError):
            before = json.loads(text or "")
            if before["name"] == now["name"] and before["digest"] != now["digest"]:
                return before
    return None


def drift(before: dict[str, Any], now: dict[str, Any]) -> pd.DataFrame:
    """Tell how far two data versions lie apart.

    Args:
        before: Profile of one version.
        now: Profile of the other.

    Returns:
        One row a property: `property` and `distance`, between 0 and 1: of numbers the Kolmogorov-Smirnov distance,
        of the classes the total variation distance of their shares.
    """
    names = sorted({*before["classes"], *now["classes"]})
    apart = sum(abs(before["classes"].get(name, 0) - now["classes"].get(name, 0)) for name in names) / 2
    rows = [{"property": "classes", "distance": apart}]
    for name in MEASURED:
        if name in before["quantiles"] and name in now["quantiles"]:
            distance = _kolmogorov_smirnov(before["quantiles"][name], now["quantiles"][name])
            rows.append({"property": name, "distance": distance})
    return pd.DataFrame(rows)


def _kolmogorov_smirnov(first: list[float], second: list[float]) -> float:
    """Return the largest difference of two distributions that are given by their quantiles."""
    values = np.union1d(first, second)
    distances = [
        np.abs(np.searchsorted(first, values, side) - np.searchsorted(second, values, side)).max() for side in SIDES
    ]
    return float(max(distances)) / len(SHARES)


def _quantiles(values: pd.Series) -> list[float]:
    """Return the quantiles to six digits, so that equal images give equal bytes."""
    return [float(f"{value:.6g}") for value in np.quantile(values.astype(float), SHARES)]
