"""Waivers: findings that a person has looked at and accepts, each with a reason and a last day."""

from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.settings.base import Section, Sha256


class Waiver(Section):
    """One entry of the file.

    Args:
        check: Name of a check.
        image: SHA-256 of the image's file, or `*` for all images.
        reason: Why the finding is accepted.
        expires: The last day on which it is waived.
    """

    check: str
    image: Sha256 | Literal["*"]
    reason: Annotated[str, Field(min_length=1)]
    expires: date


def load(path: Path, today: date) -> list[Waiver]:
    """Read the waivers.

    Args:
        path: The file; none is no waiver.
        today: What a last day is compared with.

    Raises:
        UnfreezeError: The file is no list of waivers, or holds an expired one.
    """
    if not path.exists():
        return []
    name = f"{path.parent.name}/{path.name}"
    try:
        waivers = TypeAdapter(list[Waiver]).validate_python(files.read_yaml(path) or [])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UnfreezeError(
            f'{name}: {place}: {first["msg"]}; expected a list of check, image (a SHA-256 or "*"), reason, expires'
        ) from error
    for waiver in waivers:
        if waiver.expires < today:
            raise UnfreezeError(
                f"{name}: the waiver of {waiver.check} for {waiver.image} expired on {waiver.expires} "
                f"({waiver.reason}): correct what it waived, or look again and give a later day"
            )
    return waivers


def require_known_checks(path: Path, waivers: list[Waiver], known: Collection[str]) -> None:
    """Refuse waivers of checks that do not exist.

    Args:
        path: The file, for the message.
        waivers: Its content.
        known: Names of all checks of single images.

    Raises:
        UnfreezeError: A waiver names another check.
    """
    for waiver in waivers:
        if waiver.check not in known:
            raise UnfreezeError(
                f"{path.parent.name}/{path.name}: no check of single images is called {waiver.check!r}: there are "
                f"{', '.join(known)}; what concerns the set as a whole has a level in params.yaml"
            )


def find_waived(found: pd.DataFrame, digests: pd.Series, waivers: list[Waiver]) -> pd.DataFrame:
    """Mark the findings that are waived.

    Args:
        found: One bool column a check, one row an image.
        digests: SHA-256 of each image's file.
        waivers: Checks and images that are waived.

    Returns:
        A table of the same form, true where a finding is waived.

    Example:
        >>> found = pd.DataFrame({"blurry": [True, False, True]})
        >>> waiver = Waiver(check="blurry", image="b" * 64, reason="fog", expires=date(2030, 1, 1))
        >>> find_waived(found, pd.Series(["a" * 64, "b" * 64, "b" * 64]), [waiver])["blurry"].tolist()
        [False, False, True]
    """
    waived = pd.DataFrame(False, index=found.index, columns=found.columns)
    for waiver in waivers:
        if waiver.check in found:
            waived[waiver.check] |= found[waiver.check] & ((digests == waiver.image) | (waiver.image == "*"))
    return waived
