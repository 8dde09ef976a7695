"""The profile of a data version, small enough for git, and how far two versions lie apart."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.runtime.console import log
from unfreeze.settings.base import Section

MEASURED = ("width", "height", "bytes", "brightness", "sharpness", "entropy")
# searchsorted sides: evaluate both empirical CDFs from the left and the right at ties.
SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
# Quantiles at these 101 shares of the images stand for all values: distances are right to 0.01.
SHARES = np.linspace(0, 1, 101)


class Profile(Section):
    """One version of a data set.

    Args:
        name: Name of the data set.
        digest: SHA-256 of all images and labels.
        images: Number of usable images.
        classes: Share of each class, 0..1.
        quantiles: 101 ascending values of each measured property; empty where there is no image.
    """

    name: str
    digest: str
    images: int
    classes: dict[str, float]
    quantiles: dict[str, list[float]]


class StoredProfile(Profile):
    """Content of metrics/profile.json.

    Args:
        previous: The version before, None where none is known.
    """

    previous: Profile | None = None


def describe_images(rows: pd.DataFrame, name: str) -> Profile:
    """Summarise the usable images.

    Args:
        rows: The manifest's rows of usable images: `sha256`, `label` and the columns `MEASURED`.
        name: The data set's name.

    Returns:
        The profile; it does not depend on the order of the rows.
    """
    shares = rows["label"].value_counts(normalize=True)
    return Profile(
        name=name,
        digest=files.digest(sorted(zip(rows["sha256"], rows["label"], strict=True))),
        images=len(rows),
        classes={str(label): float(share) for label, share in shares.items()},
        quantiles={measure: _round_quantiles(rows[measure]) for measure in MEASURED} if len(rows) else {},
    )


def read(path: Path) -> StoredProfile | None:
    """Read the profile that the last run left.

    Args:
        path: The file.

    Returns:
        None where there is no file, or one of another form: then the comparison starts again from this version.

    Raises:
        UnfreezeError: The file is no JSON, as after a merge conflict.
    """
    if not path.exists():
        return None
    name = f"{path.parent.name}/{path.name}"
    try:
        return StoredProfile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError:
        log.warning("%s has an older form: drift is measured from this version of the data on", name)
        return None
    except ValueError as error:
        raise UnfreezeError(
            f"{name} is no valid JSON ({error}), as after a merge conflict: take one side with "
            f"`git checkout --ours {name}`, or delete it"
        ) from error


def find_previous(stored: StoredProfile | None, now: Profile) -> Profile | None:
    """Return the version to compare with; a second run on the same images compares with the same one.

    Args:
        stored: What the last run left.
        now: Today's version.

    Returns:
        None where the last run was of another data set (another name, or no class in common), or there was none.
    """
    if stored is None or stored.name != now.name or stored.classes.keys().isdisjoint(now.classes):
        return None
    if stored.digest == now.digest:
        return stored.previous
    return Profile(**stored.model_dump(exclude={"previous"}))


def measure_drift(before: Profile | None, now: Profile) -> pd.DataFrame:
    """Measure how far two data versions lie apart.

    Args:
        before: One version; None where there is none.
        now: The other.

    Returns:
        One row a property: `property` and `distance`, 0..1: of numbers the Kolmogorov-Smirnov distance, of the
        classes the total variation distance of their shares. No row without a version before.

    Example:
        >>> cats = Profile(name="pets", digest="1", images=4, classes={"cat": 1.0}, quantiles={})
        >>> both = Profile(name="pets", digest="2", images=8, classes={"cat": 0.5, "dog": 0.5}, quantiles={})
        >>> measure_drift(cats, both).to_dict("list")
        {'property': ['classes'], 'distance': [0.5]}
    """
    if before is None:
        return pd.DataFrame(columns=["property", "distance"])
    labels = sorted({*before.classes, *now.classes})
    apart = sum(abs(before.classes.get(label, 0) - now.classes.get(label, 0)) for label in labels) / 2
    rows = [{"property": "classes", "distance": apart}]
    for name in MEASURED:
        if name in before.quantiles and name in now.quantiles:
            distance = _measure_distance(before.quantiles[name], now.quantiles[name])
            rows.append({"property": name, "distance": distance})
    return pd.DataFrame(rows)


def _measure_distance(first: list[float], second: list[float]) -> float:
    """Return the largest difference of two distributions, each given by its quantiles."""
    values = np.union1d(first, second)
    distances = [
        np.abs(np.searchsorted(first, values, side) - np.searchsorted(second, values, side)).max() for side in SIDES
    ]
    return float(max(distances)) / len(SHARES)


def _round_quantiles(values: pd.Series) -> list[float]:
    """Return the quantiles to six digits, so that equal images give equal bytes."""
    return [float(f"{value:.6g}") for value in np.quantile(values.astype(float), SHARES)]
