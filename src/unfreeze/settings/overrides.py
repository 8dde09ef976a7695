"""Overrides of settings as `dvc exp run -S` takes them: Hydra's grammar needs quotes around most paths."""

import re
import shlex
from typing import Any

from unfreeze.errors import UnfreezeError


def quote_override(key: str, value: Any) -> str:
    r"""Return an override that sets a key to exactly a value, whatever characters its texts hold.

    In Hydra's single quotes a quote is written `\'`, and backslashes count only in front of a quote, where each is
    doubled (https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values).

    >>> quote_override("data.source", "/x/Ann's photos (2023)")
    "data.source='/x/Ann\\'s photos (2023)'"
    >>> quote_override("data.labels", {"file": "a b.csv", "path_column": 0})
    "data.labels={file:'a b.csv',path_column:0}"

    Args:
        key: The setting, such as `data.source`.
        value: A text, a number, a truth value, None, a list, or a dictionary whose keys are words.

    Raises:
        UnfreezeError: A text holds `${`, by which every later reader of params.yaml would insert another setting,
            or a character that YAML cannot hold.
    """
    return f"{key}={_quote(key, value)}"


def quote_for_shell(text: str) -> str:
    r"""Return a word for a shell, in double quotes where they suffice, since Hydra's own are single ones.

    >>> quote_for_shell("data.source='/x/My Photos (2023)'")
    '"data.source=\'/x/My Photos (2023)\'"'
    """
    if re.fullmatch(r"[\w./:=+,@%-]+", text, re.ASCII):
        return text
    # Between double quotes a backslash counts only in front of these characters.
    return shlex.quote(text) if re.search(r'["$`!\n]|\\(?=[\\]|$)', text) else f'"{text}"'


def _quote(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_quote(key, item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_quote(key, item) for item in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return _quote_text(key, str(value))


def _quote_text(key: str, value: str) -> str:
    if "${" in value:
        raise UnfreezeError(
            f"{key} is {value!r}, expected a text without `${{`, which inserts the value of another setting: rename "
            "the file or folder, or give a link to it"
        )
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]", value):
        raise UnfreezeError(
            f"{key} is {value!r}, expected a text without control characters and broken UTF-8, which params.yaml "
            "cannot hold: rename the file or folder, or give a link to it"
        )
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + (found[2] and r"\'"), value) + "'"


def check_override(override: str) -> None:
    """Find out whether Hydra can read an override, before DVC asks it and answers with the name of an exception.

    Args:
        override: As given to `-S`.

    Raises:
        UnfreezeError: It cannot; the message holds the override with its value in quotes.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        OverridesParser.create().parse_overrides([override])
    except OverrideParseException as error:
        key, _, value = override.partition("=")
        reason = str(error).partition("\n")[0]
        raise UnfreezeError(
            f"-S {override} is not what Hydra reads ({reason}): quote a text with blanks, brackets or other signs, "
            f"as in -S {shlex.quote(quote_override(key, value))}"
        ) from error
