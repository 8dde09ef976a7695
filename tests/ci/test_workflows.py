"""The workflows, by the tools that know GitHub's rules."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import PROJECT

FOLDER = PROJECT / ".github/workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def read(workflow: Path) -> Any:
    # YAML takes `on` for true.
    return yaml.safe_load(workflow.read_text().replace("\non:", '\n"on":'))


def test_they_are_all_there() -> None:
    assert [path.stem for path in WORKFLOWS] == ["certify", "ci", "report", "retrain"]


@pytest.mark.parametrize("persona", ["regular", "pedantic", "auditor"])
def test_zizmor_finds_nothing(persona: str) -> None:
    done = run(
        "zizmor", "--offline", "--no-progress", "--persona", persona, "--config", ".github/zizmor.yml", str(FOLDER)
    )
    assert done.returncode == 0, done.stdout
    assert "No findings to report" in done.stdout + done.stderr


def test_they_follow_githubs_schema() -> None:
    done = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_no_rights_but_those_its_jobs_name(workflow: Path) -> None:
    content = read(workflow)
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert job["permissions"]
        assert job["timeout-minutes"] <= 350
        for step in job["steps"]:
            assert "pip install" not in step.get("run", "")
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+\.\d+\.\d+", step["uses"])
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


def test_only_retraining_may_write_to_the_repository() -> None:
    writers = {
        path.stem
        for path in WORKFLOWS
        for job in read(path)["jobs"].values()
        if job["permissions"].get("contents") == "write"
    }
    assert writers == {"retrain"}


def test_what_forks_run_has_no_secret() -> None:
    text = (FOLDER / "ci.yml").read_text()
    assert "secrets." not in text
    assert "github.token" not in text


def test_secrets_are_in_reach_of_one_step() -> None:
    (job,) = read(FOLDER / "retrain.yml")["jobs"].values()
    with_secrets = [step for step in job["steps"] if "secrets." in str(step) or "github.token" in str(step)]
    assert [step["run"] for step in with_secrets] == ["make retrain"]


def test_one_retraining_at_a_time_and_none_is_cancelled() -> None:
    assert read(FOLDER / "retrain.yml")["concurrency"] == {"group": "retrain", "cancel-in-progress": False}


def test_whatever_makes_the_lock_stale_starts_a_retraining() -> None:
    watched = set(read(FOLDER / "retrain.yml")["on"]["push"]["paths"])
    assert watched >= {f"{folder}/**" for folder in ("conf", "plugins", "src", "data", "checks")}


def test_the_tiny_study_has_a_name_for_its_commits() -> None:
    (step,) = (step for step in read(FOLDER / "ci.yml")["jobs"]["tiny"]["steps"] if step.get("run") == "make tiny")
    assert {f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")} == set(step["env"])


def test_the_button_offers_the_presets_there_are() -> None:
    offered = read(FOLDER / "retrain.yml")["on"]["workflow_dispatch"]["inputs"]["preset"]["options"]
    assert set(offered) == {"none", *(path.stem for path in (PROJECT / "conf/study").glob("*.yaml"))}


def test_the_workflow_for_forks_runs_nothing_of_theirs() -> None:
    (job,) = read(FOLDER / "report.yml")["jobs"].values()
    checkout = job["steps"][0]
    assert "ref" not in checkout["with"]
    assert "repository" not in checkout["with"]
    for step in job["steps"]:
        assert "${{" not in step.get("run", "")


def test_run_lines_hold_calls_and_nothing_from_outside() -> None:
    for workflow in WORKFLOWS:
        for job in read(workflow)["jobs"].values():
            for step in job["steps"]:
                assert "${{" not in step.get("run", "")
                assert step.get("run", "").count("\n") == 0
