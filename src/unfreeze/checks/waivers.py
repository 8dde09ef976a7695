"""Waivers: findings that a person has looked at and lets pass, each with a reason and a last day."""

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from unfreeze import files
from unfreeze.checks.catalogue import OF_IMAGES
from unfreeze.errors import UnfreezeError
from unfreeze.settings.base import Section, Sha256


class Waiver(Section):
    """What one entry of the file says.

    Args:
        check: Name of a check.
        image: SHA-256 of the image's file, or `*` for all images.
        reason: Why the finding is let pass.
        expires: The last day on which it is.
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
        UnfreezeError: The file is no list of waivers, names a check that does not exist, or holds an expired one.
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
        if waiver.check not in OF_IMAGES:
            raise UnfreezeError(
                f"{name}: no check of single images is called {waiver.check!r}: there are {', '.join(OF_IMAGES)}; "
                "what concerns the set as a whole has a level in params.yaml"
            )
        if waiver.expires < today:
            raise UnfreezeError(
                f"{name}: the waiver of {waiver.check} for {waiver.image} expired on {waiver.expires} "
                f"({waiver.reason}): mend what it let pass, or look again and give a later day"
            )
    return waivers


def waived(found: pd.DataFrame, digests: pd.Series, waivers: list[Waiver]) -> pd.DataFrame:
    """Tell which findings are let pass.

    Args:
        found: One bool column a check, one row an image.
        digests: SHA-256 of each image's file.
        waivers: What is let pass.

    Returns:
        A table of the same form, true where a finding is let pass.
    """
    passed = pd.DataFrame(False, index=found.index, columns=found.columns)
    for waiver in waivers:
        if waiver.check in found:
            passed[waiver.check] |= found[waiver.check] & ((digests == waiver.image) | (waiver.image == "*"))
    return passed
