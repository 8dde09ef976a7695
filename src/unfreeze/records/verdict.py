"""metrics/verdict.json for the commands: what the last study found, and of which backbones."""

from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths


def read(paths: Paths) -> Any:
    """Return the last study's verdict.

    Raises:
        UnfreezeError: No study has run.
    """
    if not paths.verdict.exists():
        raise UnfreezeError(f"{paths.verdict.relative_to(paths.root)} is missing: run `dvc repro` first")
    return files.read_json(paths.verdict)


def row_of(verdict: Any, backbone: str) -> Any:
    """Return what a verdict says of a backbone.

    Raises:
        UnfreezeError: It was not in the study.
    """
    for row in verdict["rows"]:
        if row["backbone"] == backbone:
            return row
    names = ", ".join(row["backbone"] for row in verdict["rows"])
    raise UnfreezeError(f"backbone {backbone!r} is not in the last study: take one of {names}")
