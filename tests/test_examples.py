"""The examples in docstrings are run, and the definitions that most modules use have one."""

import doctest
import importlib
from pathlib import Path

import pytest

from tests.conftest import PROJECT

SOURCE = PROJECT / "src"
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if ">>>" in path.read_text()
)
MOST_USED = (
    "unfreeze.errors.UnfreezeError",
    "unfreeze.evaluation.fold.Fold",
    "unfreeze.evaluation.metric_registry.list_metrics",
    "unfreeze.figures.formats.format_percent",
    "unfreeze.figures.parts.Cell",
    "unfreeze.figures.parts.Chart",
    "unfreeze.figures.parts.Table",
    "unfreeze.figures.vega.make_data",
    "unfreeze.files.atomic",
    "unfreeze.files.digest",
    "unfreeze.files.read_json",
    "unfreeze.files.remove",
    "unfreeze.files.hash_file",
    "unfreeze.files.write_json",
    "unfreeze.paths.Paths",
    "unfreeze.records.interval.Interval",
    "unfreeze.records.record.Record",
    "unfreeze.runtime.redaction.redact",
    "unfreeze.settings.base.Section",
    "unfreeze.settings.checks.CheckSettings",
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_give_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Examples may write files.
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.attempted
    assert not results.failed


def test_the_definitions_that_most_modules_use_have_an_example() -> None:
    assert len(MOST_USED) == 20
    for name in MOST_USED:
        module, _, definition = name.rpartition(".")
        assert ">>>" in getattr(importlib.import_module(module), definition).__doc__, name
