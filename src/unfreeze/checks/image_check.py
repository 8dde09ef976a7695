"""The registry of image checks: each measures an image, finds what is wrong with it, and explains what it found.

A check is one file, in the package `image_checks` or in `plugins/image_checks/` of the
checkout; docs/checks.md shows one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks.catalogue import Explanation
from unfreeze.errors import UnfreezeError
from unfreeze.runtime.plugins import load_entries
from unfreeze.settings.checks import CheckSettings, Level, declare_check, parse_check

if TYPE_CHECKING:
    from PIL.Image import Image

# Sorted behind the built-in checks.
LAST = 100
_REGISTERED: dict[str, "ImageCheck"] = {}


@dataclass(frozen=True)
class Picture:
    """One decoded image, as a check measures it.

    Args:
        path: The file.
        rgb: Its upright pixels, 8-bit RGB, in full size.
        grey: Its grey levels at 256 x 256 pixels, mode L; one size makes measures of different images comparable.
    """

    path: Path
    rgb: "Image"
    grey: "Image"

    def find_grey_level(self, share: float) -> float:
        """Return the first grey level, 0..255, up to which this share of the grey levels lies.

        Args:
            share: 0..1.
        """
        # Sorting all pixels takes ten times as long.
        counted = np.cumsum(self.grey.histogram())
        return float(np.searchsorted(counted, share * counted[-1]))


@dataclass(frozen=True)
class Images:
    """All images of the data set, as a check judges them.

    Args:
        rows: One row an image: the manifest's columns, with those that checks measure. NaN where it is unreadable.
        near: int64 array of shape (pairs, 2): row numbers of images that show the same, though not pixel by pixel.
    """

    rows: pd.DataFrame
    near: np.ndarray

    @property
    def readable(self) -> pd.Series:
        """Whether each image can be decoded."""
        return self.rows["reason"] == ""


@dataclass(frozen=True, kw_only=True)
class ImageCheck:
    """One check of single images.

    Args:
        name: Its name in params.yaml (`checks.<name>`), in data/findings.csv and in the manifest's suite.
        level: Default level of a finding: error, warning or off.
        threshold: Default threshold, from 0 on; `auto` for a number of bits taken from the set; None for none.
        setting: Parameter that sets the level, where it is not `checks.<name>.level`.
        title: What is wrong with the images found, in a few words.
        meaning: Why that matters.
        remedy: What to do about it.
        measures: Columns that it adds to the manifest: name, and function of a picture that returns a number or text.
        find: Takes the images, and the threshold if there is one; returns a bool for each image.
        detail: What a finding says of its image: a format string over the manifest's columns.
        worst_first: Column that findings are sorted by; they stay in the manifest's order without one.
        low_is_worst: Whether low values of that column come first.
        is_unusable: Whether checks.on_bad=quarantine leaves out the images found; then a finding ends no run.
        finds_copies: Whether findings are shown in groups of images that show the same.
        order: Place among the checks, ascending.
    """

    name: str
    level: Level
    threshold: float | Literal["auto"] | None = None
    setting: str | None = None
    title: str
    meaning: str
    remedy: str
    measures: Mapping[str, Callable[[Picture], Any]] = field(default_factory=dict)
    find: Callable[..., pd.Series | np.ndarray]
    detail: str = ""
    worst_first: str | None = None
    low_is_worst: bool = True
    is_unusable: bool = False
    finds_copies: bool = False
    order: int = LAST

    @property
    def explanation(self) -> Explanation:
        """Text that people see about it."""
        return Explanation(self.title, self.meaning, self.remedy)

    def find_in(self, images: Images, checks: CheckSettings) -> np.ndarray:
        """Return whether each image has this fault: bool array of shape (images,)."""
        arguments = () if self.threshold is None else (checks.get_threshold(self.name),)
        return np.asarray(self.find(images, *arguments), bool)


def register(check: ImageCheck) -> None:
    """Add a check; its default level and threshold become settings of params.yaml.

    Args:
        check: The check.

    Raises:
        UnfreezeError: Its name, or that of a measure, is taken or no lower-case identifier.
    """
    taken = {*_REGISTERED, *(name for other in _REGISTERED.values() for name in other.measures)}
    for name in (check.name, *check.measures):
        if name in taken:
            raise UnfreezeError(f"image check {check.name!r}: the name {name!r} is taken, choose another one")
        if not name.isidentifier() or name != name.lower():
            raise UnfreezeError(f"image check {check.name!r}: {name!r} is no lower-case identifier such as too_red")
    if check.setting is None:
        declare_check(check.name, check.level, check.threshold)
    _REGISTERED[check.name] = check


def load_image_checks() -> dict[str, ImageCheck]:
    """Return all image checks by name, in their order: the built-in ones, and those in `plugins/image_checks/`."""
    load_entries("image_checks", "unfreeze.checks.image_checks")
    return {check.name: check for check in sorted(_REGISTERED.values(), key=lambda check: (check.order, check.name))}


def find_all(images: Images, checks: CheckSettings) -> pd.DataFrame:
    """Apply each check that is on.

    Args:
        images: The images.
        checks: Level and threshold of every image check.

    Returns:
        One bool column a check that is on, one row an image.
    """
    found = {
        name: check.find_in(images, checks)
        for name, check in load_image_checks().items()
        if checks.get_level(name) != "off"
    }
    return pd.DataFrame(found, index=images.rows.index)


def write_settings(path: Path, checks: CheckSettings) -> None:
    """Write the level and the threshold of image checks as JSON.

    Args:
        path: The file.
        checks: Settings of every image check.
    """
    files.write_json(path, {name: check.model_dump() for name, check in checks.items()})


def read_settings(path: Path) -> CheckSettings:
    """Read what `write_settings` wrote, in the order of the checks.

    Args:
        path: The file.

    Raises:
        UnfreezeError: It holds other checks than there are.
    """
    checks, values = load_image_checks(), files.read_json(path)
    if set(checks) != set(values):
        different = ", ".join(sorted(set(checks) ^ set(values)))
        raise UnfreezeError(f"{path} was written for other image checks (different: {different}): run `dvc repro`")
    return CheckSettings({name: parse_check(name, values[name]) for name in checks})
