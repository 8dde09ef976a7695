"""`unfreeze plan` on real checkouts, compared with what DVC does."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import STUDIED, Checkout, checkout_with_images
from unfreeze import dvc_repo, files
from unfreeze.paths import Paths
from unfreeze.planning import measurements


def plan(checkout: Checkout, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(checkout.try_run("unfreeze", "plan", "--json", *options).stdout)
    return found


def changes(found: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["action"] for stage in found["stages"] if stage["action"] != "keep"}


def stage_of(found: dict[str, Any], name: str) -> dict[str, Any]:
    (stage,) = [stage for stage in found["stages"] if stage["name"] == name]
    return stage


def state_of(checkout: Checkout) -> str:
    return checkout.run("git", "status", "--porcelain", "--untracked-files=all") + checkout.paths.params.read_text()


def test_after_a_study_nothing_runs_and_all_stages_are_measured(studied: Checkout) -> None:
    assert changes(plan(studied)) == {}
    assert studied.run("unfreeze", "plan", "--short") == "plan: nothing has changed, no stage runs\n"
    ran = {(found.stage, found.backbone) for found in measurements.read(studied.paths.measurements)}
    assert {("code", None), ("check", None), ("extract", "mobilenetv2"), ("finetune", "from_scratch")} <= ran


def test_what_would_be_composed_is_planned_and_the_work_tree_stays(studied: Checkout) -> None:
    before = state_of(studied)
    source = files.read_yaml(studied.paths.params)["data"]["source"]
    settings = (*STUDIED, "data=folder", f"data.source={source}", "search.max_trials=4")
    found = plan(studied, *(word for setting in settings for word in ("-S", setting)))
    assert state_of(studied) == before
    assert stage_of(found, "search@mobilenetv2")["reasons"] == ["search.max_trials: 2 -> 4"]
    assert "search@mobilenetv2" in stage_of(found, "finetune@mobilenetv2")["follows"]
    # The images are the same, and so is what is known of them.
    assert found["images"] == 48
    assert "check" not in changes(found)


def test_stages_with_reasons_of_their_own_are_those_that_dvc_names(studied: Checkout) -> None:
    with studied.changed_params(seed=1, evaluate={"pictures": 2}):
        found = plan(studied)
        named = set(dvc_repo.list_stages_to_run(studied.root))
    own = {stage["name"] for stage in found["stages"] if stage["reasons"]}
    assert own == {name.rpartition(":")[2] for name in named}
    assert all(stage["measured"] for stage in found["stages"] if stage["action"] == "run")


def test_changed_code_names_its_file_and_reruns_what_uses_it(studied: Checkout) -> None:
    unused, used = (studied.root / "src/unfreeze" / name for name in ("cli/study.py", "stages/verdict.py"))
    try:
        unused.write_text(f"{unused.read_text()}\n\nADDED = 1\n")
        assert changes(plan(studied)) == {"code": "run"}
        used.write_text(f"{used.read_text()}\n\nADDED = 1\n")
        found = plan(studied)
    finally:
        studied.run("git", "checkout", "src")
    assert stage_of(found, "verdict")["reasons"] == ["its code changed (src/unfreeze/stages/verdict.py)"]
    assert changes(found) == dict.fromkeys(("code", "verdict", "figures", "report"), "run")


def test_a_result_that_was_removed_comes_back_from_the_cache(studied: Checkout) -> None:
    studied.paths.model("mobilenetv2").unlink()
    try:
        assert changes(plan(studied)) == {"finetune@mobilenetv2": "restore"}
    finally:
        studied.run("dvc", "checkout")
    assert changes(plan(studied)) == {}


def test_a_setting_that_was_run_before_comes_from_the_cache(studied: Checkout, tmp_path: Path) -> None:
    lock = studied.paths.dvc_lock.read_text()
    # The study's own store keeps one study.
    store = f"sqlite:///{tmp_path}/mlflow.db"
    with studied.changed_params(evaluate={"pictures": 2}):
        assert changes(plan(studied))["evaluate@from_scratch"] == "run"
        studied.run("dvc", "repro", "evaluate@from_scratch", MLFLOW_TRACKING_URI=store)
    # The lock is now of the run with fewer pictures.
    back = changes(plan(studied))
    assert back["evaluate@from_scratch"] == "restore"
    studied.run("dvc", "repro", "evaluate@from_scratch", MLFLOW_TRACKING_URI=store)
    assert studied.paths.dvc_lock.read_text() == lock


def test_before_the_first_run_and_without_git_all_stages_are_planned(tmp_path: Any) -> None:
    made = checkout_with_images(tmp_path, 12)
    made.run("rm", "-rf", ".git")
    found = plan(made)
    assert {stage["action"] for stage in found["stages"]} == {"run"}
    assert found["images"] == 24
    assert found["seconds"] > 10 and not any(stage["measured"] for stage in found["stages"])
    line = made.run("unfreeze", "plan", "--short")
    assert line.startswith("plan: 18 of 18 stages run: about ")
    assert line.rstrip().endswith("from this machine's speed")
    # What stages count down from.
    assert json.loads(Paths(made.root).plan.read_text())["stages"][0][0] == "code"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-S", "search.max_trails=3"], "error: -S search.max_trails=3 cannot be composed (Could not override"),
        (["-S", "study=tinny"], "error: conf/ has no study/tinny: take one of best, paper, quick, six, tiny"),
        (["-S", "preprocess.image_size=3"], "error: params.yaml: preprocess.image_size: Input should be greater"),
        (["-S", "data=folder", "-S", "data.source=/nowhere"], "error: data.source /nowhere does not exist"),
        (["-S", "study.backbones=[vgg17]"], "error: unknown backbone 'vgg17'"),
    ],
)
def test_bad_input_ends_in_a_line_that_says_what_to_do(studied: Checkout, options: list[str], message: str) -> None:
    before = state_of(studied)
    done = studied.try_run("unfreeze", "plan", *options)
    assert done.returncode == 1
    # Keras is asked for an unknown backbone, and TensorFlow has notices of its own.
    assert done.stderr.strip().splitlines()[-1].startswith(message)
    assert "Traceback" not in done.stderr
    assert state_of(studied) == before


def test_what_slows_this_machine_down_is_said_before_a_study_and_not_where_nothing_runs(studied: Checkout) -> None:
    slow = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    assert "slow:" not in studied.run("unfreeze", "plan", **slow)
    with studied.changed_params(seed=1):
        assert "slow: TF_ENABLE_ONEDNN_OPTS=0 is set" in studied.run("unfreeze", "plan", "--short", **slow)
        assert "ONEDNN" not in studied.run("unfreeze", "plan", "--short")
