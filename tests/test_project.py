"""The promises of the project's own files."""

import ast
import importlib
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import PROJECT
from tests.import_closure import import_closure
from unfreeze.cli.main import STAGES
from unfreeze.report import readme

PIPELINE = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
# Which templates a module fills, by the beginning of their names; a test finds one that none does.
TEMPLATES = {"src/unfreeze/report/page.py": "report", "src/unfreeze/checks/page.py": "findings"}


ALL_TEMPLATES = list((PROJECT / "src/unfreeze/templates").iterdir())


def beginning(template: Path) -> str:
    return re.split(r"[._]", template.name)[0]


def test_dvc_yaml_has_the_stages_of_the_command_in_order() -> None:
    assert list(PIPELINE) == list(STAGES)
    modules = {path.stem for path in (PROJECT / "src/unfreeze/stages").glob("*.py")} - {"__init__"}
    assert modules == set(STAGES)


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_stage_depends_on_all_it_imports(stage: str) -> None:
    closure = import_closure(f"unfreeze.stages.{stage}")
    filled = {TEMPLATES[module] for module in closure & set(TEMPLATES)}
    closure |= {f"src/unfreeze/templates/{path.name}" for path in ALL_TEMPLATES if beginning(path) in filled}
    listed = [name for name in PIPELINE[stage]["deps"] if name.startswith("src/")]
    assert listed == sorted(closure)


def test_every_template_is_filled_by_one_module() -> None:
    assert {beginning(path) for path in ALL_TEMPLATES} == set(TEMPLATES.values())


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_stage_declares_the_params_it_may_read(stage: str) -> None:
    allowed = importlib.import_module(f"unfreeze.stages.{stage}").PARAMS
    if stage == "validate":
        assert "params.yaml" in PIPELINE[stage]["deps"]
    else:
        assert tuple(PIPELINE[stage]["params"]) == allowed


@pytest.mark.parametrize("stage", list(STAGES))
def test_no_stage_imports_another(stage: str) -> None:
    others = {name for name in import_closure(f"unfreeze.stages.{stage}") if "/stages/" in name}
    assert others == {f"src/unfreeze/stages/{stage}.py"}


@pytest.mark.parametrize("stage", [name for name, by_backbone in STAGES.items() if by_backbone])
def test_the_matrix_runs_over_the_studys_backbones(stage: str) -> None:
    assert PIPELINE[stage]["matrix"] == {"backbone": "${study.backbones}"}


def test_the_test_fold_is_read_by_evaluate_alone() -> None:
    readers = {name for name, stage in PIPELINE.items() if "data/split.csv" in stage["deps"]}
    assert readers == {"extract", "evaluate"}  # extract takes training and validation images: see its test


def test_packages_import_nothing_by_themselves() -> None:
    for path in (PROJECT / "src").rglob("__init__.py"):
        statements = ast.parse(path.read_text()).body
        assert len(statements) == 1, f"{path} holds more than its docstring"


@pytest.mark.parametrize(
    ("library", "owner"),
    [
        ("mlflow", "tracking"),
        ("great_expectations", "checks/gate.py"),
        ("keras_tuner", "search/tuner.py"),
    ],
)
def test_one_place_knows_a_library(library: str, owner: str) -> None:
    pattern = re.compile(rf"^\s*(import|from) {library}\b", re.MULTILINE)
    package = PROJECT / "src/unfreeze"
    users = [path for path in package.rglob("*.py") if pattern.search(path.read_text())]
    assert users
    assert all(path.is_relative_to(package / owner) for path in users)


def test_the_lock_has_hashes_and_no_address() -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = re.findall(r"^[a-z0-9._-]+==\S+", lock, re.MULTILINE)
    assert len(pinned) > 100
    assert lock.count("--hash=sha256:") >= len(pinned)


def test_telemetry_is_off() -> None:
    config = (PROJECT / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config


def test_readme_shows_the_committed_results() -> None:
    verdict = json.loads((PROJECT / "metrics/verdict.json").read_text())
    checked = [
        json.loads((PROJECT / f"metrics/checks/{suite}.json").read_text()) for suite in ("manifest", "suspects")
    ]
    text = (PROJECT / "README.md").read_text()
    assert readme.with_results(text, verdict, checked) == text


def test_make_help_lists_the_targets() -> None:
    shown = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in ("repro", "test", "ui", "lint", "help"):
        assert re.search(rf"^{target}\s", shown, re.MULTILINE), shown
