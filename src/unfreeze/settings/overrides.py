"""Overrides of settings as `dvc exp run -S` takes them: Hydra's grammar needs quotes around most paths."""

import re
import shlex

from unfreeze.errors import UnfreezeError


def quote_override(key: str, value: str) -> str:
    r"""Return an override that sets a key to exactly a text, whatever characters the text holds.

    In Hydra's single quotes a quote is written `\'`, and backslashes count only in front of a quote, where each is
    doubled (https://hydra.cc/docs/advanced/override_grammar/basic/#quoted-values).

    >>> quote_override("data.source", "/x/Ann's photos (2023)")
    "data.source='/x/Ann\\'s photos (2023)'"

    Args:
        key: The setting, such as `data.source`.
        value: The text.

    Raises:
        UnfreezeError: The text holds `${`, by which every later reader of params.yaml would insert another setting,
            or a character that YAML cannot hold.
    """
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
    quoted = re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + (found[2] and r"\'"), value)
    return f"{key}='{quoted}'"


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
