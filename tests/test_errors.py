"""How errors of other libraries become a part of one line."""

import pytest

from unfreeze.errors import LONGEST, UnfreezeError, shorten
from unfreeze.runtime.redaction import redact
from unfreeze.sources.addresses import describe_cause, describe_error


@pytest.mark.parametrize(
    ("error", "line", "named"),
    [
        (ValueError("two\n  lines\n"), "two lines", "ValueError: two lines"),
        (AssertionError(), "AssertionError", "AssertionError"),
        (KeyError("a"), "'a'", "KeyError: 'a'"),
        (OSError(" \n "), "OSError", "OSError"),
    ],
)
def test_an_error_is_one_line_with_its_type_where_that_is_wanted(error: Exception, line: str, named: str) -> None:
    assert shorten(error) == line
    assert shorten(error, named=True) == named


def test_a_long_message_shows_that_it_was_cut_and_the_projects_own_is_whole() -> None:
    long = "x" * LONGEST
    assert shorten(ValueError(long)) == long
    assert shorten(ValueError(f"{long}yz")) == f"{long}..."
    assert shorten(UnfreezeError(f"{long}: do this")) == f"{long}: do this"


def test_a_secret_that_the_end_would_cut_in_two_is_taken_out_before() -> None:
    address = f"{'x' * (LONGEST - 20)} https://ada:correct-horse@example.org"
    assert "correct" in shorten(ValueError(address))
    assert "correct" not in shorten(ValueError(address), hide=redact)
    assert "correct" not in describe_error(ValueError(address))


def test_a_failed_connection_is_described_by_its_first_cause() -> None:
    error = RuntimeError("HTTPSConnectionPool(...)")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert describe_cause(error) == "[Errno 111] Connection refused"
