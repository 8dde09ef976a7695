"""Reading of a YAML file into a section of settings, with one line for everything that is wrong in it."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.settings.base import Section

S = TypeVar("S", bound=Section)


def read_yaml(path: Path, section: type[S], *, remedy: str) -> S:
    """Read and validate a YAML file.

    Args:
        path: The file.
        section: What it must hold.
        remedy: Sentence that ends the message on wrong settings, such as where they are explained.

    Returns:
        The settings.

    Raises:
        UnfreezeError: The file is no YAML, or holds unknown keys or values out of range.
    """
    try:
        return section.model_validate(files.read_yaml(path))
    except ValidationError as error:
        problems = "; ".join(_describe_problem(item) for item in error.errors())
        raise UnfreezeError(f"{path.name}: {problems}. {remedy}") from error


def _describe_problem(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"] if not str(part)[:1].isupper()) or "the whole file"
    if item["type"] != "extra_forbidden":
        received = item.get("input")
        shown = f" (received {received!r})" if isinstance(received, str | int | float | None) else ""
        return f"{place}: {item['msg'].removeprefix('Value error, ')}{shown}"
    *parents, key = item["loc"]
    close = difflib.get_close_matches(str(key), _list_known_keys(), n=1)
    return f"{place}: unknown parameter" + (f", did you mean {close[0]!r}?" if close else "")


def _list_known_keys() -> set[str]:
    """Return every field name of the sections in use, for the hint on a mistyped one."""
    return {field for section in _list_sections(Section) for field in section.model_fields}


def _list_sections(base: type[Section]) -> Iterable[type[Section]]:
    for section in base.__subclasses__():
        yield section
        yield from _list_sections(section)
