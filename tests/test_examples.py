"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

from tests.conftest import PROJECT

SOURCE = PROJECT / "src"
WITH_EXAMPLES = sorted(path for path in SOURCE.rglob("*.py") if "    >>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_give_what_they_say(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    result = doctest.testmod(module)
    assert not result.failed


def test_twenty_definitions_have_an_example() -> None:
    finder = doctest.DocTestFinder()
    names = [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in WITH_EXAMPLES]
    found = {test.name for name in names for test in finder.find(importlib.import_module(name)) if test.examples}
    assert len(found) >= 20
