import ast

import pytest

from unfreeze.records.syntax import iterate_tokens, strip

BEFORE = '''
"""A module."""

import logging

log = logging.getLogger()
LIMIT = 3


def shorten(text, most=LIMIT):
    if most < 1:
        raise UnfreezeError(f"most is {most}: give 1 or more")
    log.info("shortening %s", text)
    return text[:most]
'''


def words(source: str) -> list[str]:
    return list(iterate_tokens(strip(ast.parse(source))))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a comment", ("    return", "    # The rest is cut off.\n    return")),
        ("a docstring", ("    if most", '    """Return the beginning of a text."""\n    if most')),
        ("the module's docstring", ("A module.", "Texts.")),
        ("type hints", ("text, most=LIMIT):", "text: str, most: int = LIMIT) -> str:")),
        ("the text of an error", ("give 1 or more", "it must be positive")),
        ("a log line", ("shortening %s", "cutting %s")),
        ("one log line less", ('    log.info("shortening %s", text)\n', "")),
        ("blank lines and brackets", ("    return text[:most]", "\n    return (text[:most])")),
        ("what only type checkers read", ("LIMIT = 3", "LIMIT = 3\nif TYPE_CHECKING:\n    from x import y\n")),
    ],
)
def test_what_decides_no_result_changes_nothing(what: str, change: tuple[str, str]) -> None:
    after = BEFORE.replace(*change)
    assert words(after) == words(BEFORE), what


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a constant", ("LIMIT = 3", "LIMIT = 4")),
        ("its type", ("LIMIT = 3", "LIMIT = 3.0")),
        ("an operator", ("most < 1", "most <= 1")),
        ("a default", ("most=LIMIT", "most=7")),
        ("another error", ("raise UnfreezeError(", "raise ValueError(")),
        ("the text of an error that is no end", ("raise UnfreezeError(f", "raise Undecodable(f")),
        ("a string that is returned", ("return text[:most]", 'return text[:most] + "."')),
        ("the sign of zero", ("LIMIT = 3", "LIMIT = -0.0")),
        ("a string for a number", ("LIMIT = 3", "LIMIT = '3'")),
        ("True for 1", ("LIMIT = 3", "LIMIT = True")),
    ],
)
def test_what_may_decide_a_result_changes_something(what: str, change: tuple[str, str]) -> None:
    after = BEFORE.replace(*change)
    assert after != BEFORE
    assert words(after) != words(BEFORE), what


def test_types_decide_in_classes_that_read_them() -> None:
    number, text = (f"class Point(Section):\n    x: {kind}\n" for kind in ("int", "str"))
    assert words(number) != words(text)
    number, text = (f"@dataclass(frozen=True)\nclass Point:\n    x: {kind}\n" for kind in ("int", "str"))
    assert words(number) == words(text)


def test_a_field_of_a_dataclass_counts() -> None:
    one = "@dataclass\nclass Point:\n    x: int\n"
    assert words(one) != words(one + "    y: int\n")
