"""The promises of the project's own files."""

import ast
import importlib
import re
import subprocess

import pytest
import yaml

from tests.conftest import PROJECT
from unfreeze import files
from unfreeze.cli.stages import BACKBONE
from unfreeze.paths import Paths
from unfreeze.records import verdict
from unfreeze.records.code import Source
from unfreeze.records.study_report import Suite
from unfreeze.report import readme
from unfreeze.settings.stage_settings import list_names

PIPELINE = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
LOCK = yaml.safe_load((PROJECT / "dvc.lock").read_text())["stages"]
STAGES = Source(PROJECT).stages


def test_dvc_yaml_has_the_stages_of_the_code() -> None:
    assert set(PIPELINE) == {"code", *STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_digest_of_its_code(stage: str) -> None:
    assert f"code/{stage}.txt" in PIPELINE[stage]["deps"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_params_that_its_settings_take(stage: str) -> None:
    if stage == "validate":
        assert "params.yaml" in PIPELINE[stage]["deps"]
        return
    settings = importlib.import_module(f"unfreeze.stages.{stage}").Settings
    assert sorted(PIPELINE[stage]["params"]) == sorted(list_names(settings))


def test_the_lock_holds_the_stages_of_dvc_yaml_and_no_other() -> None:
    assert {name.partition("@")[0] for name in LOCK} == set(PIPELINE)
    backbones = yaml.safe_load((PROJECT / "params.yaml").read_text())["study"]["backbones"]
    of_backbones = {name.partition("@")[2] for name in LOCK if "@" in name}
    assert of_backbones == set(backbones)


def test_no_output_has_two_stages() -> None:
    outputs = [out["path"] for stage in LOCK.values() for out in stage.get("outs", [])]
    assert len(outputs) == len(set(outputs))


def test_pipeline_and_lock_stay_short() -> None:
    assert len((PROJECT / "dvc.yaml").read_text().splitlines()) <= 400
    assert len((PROJECT / "dvc.lock").read_text().splitlines()) <= 1791


@pytest.mark.parametrize("stage", [name for name, stage in PIPELINE.items() if BACKBONE in stage["cmd"]])
def test_the_matrix_runs_over_the_studys_backbones(stage: str) -> None:
    assert PIPELINE[stage]["matrix"] == {"backbone": "${study.backbones}"}


@pytest.mark.parametrize("stage", [name for name, stage in PIPELINE.items() if BACKBONE in stage["cmd"]])
def test_one_more_backbone_changes_no_other_ones_results(stage: str) -> None:
    assert "study.backbones" not in PIPELINE[stage].get("params", [])


def test_the_test_fold_is_read_by_evaluate_alone() -> None:
    readers = {name for name, stage in PIPELINE.items() if "data/split.csv" in stage["deps"]}
    # The others take training and validation images, and those of calibration: see their tests.
    assert readers == {"extract", "package", "evaluate"}


def test_packages_import_nothing_by_themselves() -> None:
    for path in (PROJECT / "src").rglob("__init__.py"):
        _, *statements = ast.parse(path.read_text()).body
        # The root alone sets what TensorFlow reads when it loads.
        allowed = ["import os", "os.environ.setdefault"] if path.parent.name == "unfreeze" else []
        shown = [ast.unparse(statement).partition("(")[0] for statement in statements]
        assert shown == allowed, f"{path} holds more than its docstring"


@pytest.mark.parametrize(
    ("library", "owner"),
    [
        ("mlflow", "tracking"),
        ("great_expectations", "checks/gate.py"),
        ("keras_tuner", "search"),
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
    paths = Paths(PROJECT)
    checked = [Suite(suite=suite, **files.read_json(paths.checks(suite))) for suite in ("manifest", "suspects")]
    text = paths.readme.read_text()
    assert readme.replace_results(text, verdict.read(paths), checked) == text


def test_make_help_lists_the_targets() -> None:
    shown = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for target in ("repro", "test", "ui", "lint", "help"):
        assert re.search(rf"^{target}\s", shown, re.MULTILINE), shown
