import sys
from pathlib import Path

import pytest

from unfreeze.runtime.programs import spell_out_commands

MESSAGE = "run `dvc repro`, then `unfreeze compare`; `make ui` and `dvc.lock` stay"
SPELT_OUT = "run `.venv/bin/dvc repro`, then `.venv/bin/unfreeze compare`; `make ui` and `dvc.lock` stay"


@pytest.fixture(autouse=True)
def _without_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    monkeypatch.chdir(tmp_path)


def test_commands_are_spelt_out_where_no_environment_is_active() -> None:
    assert spell_out_commands(MESSAGE) == SPELT_OUT
    assert spell_out_commands(SPELT_OUT) == SPELT_OUT


def test_an_active_environment_finds_its_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / ".venv"))
    assert spell_out_commands(MESSAGE) == MESSAGE


def test_an_environment_elsewhere_has_no_short_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.setattr(sys, "executable", "/opt/python/bin/python")
    assert spell_out_commands(MESSAGE) == MESSAGE
