"""The search as a user runs it: with DVC, killed, taken up again, on several processes."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import mlflow
import pandas as pd
import pytest

from tests.conftest import Checkout, checkout_with_images, children_of, runs
from unfreeze import files
from unfreeze.search.journal import Journal
from unfreeze.search.outcome import choose_best


@pytest.fixture(scope="module")
def searchable(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Run all stages up to the search over 40 images and one small network."""
    made = checkout_with_images(
        tmp_path_factory.mktemp("searchable"),
        20,
        "study.backbones=[mobilenetv2]",
        "+weights.mobilenetv2=random",
        "search.max_trials=4",
        "search.epochs=2",
        "unfreeze.candidates.default=[none,{blocks: 1}]",
    )
    made.run("dvc", "repro", "search")
    made.commit()
    return made


def result(made: Checkout) -> dict[str, Any]:
    return files.read_json(made.paths.search("mobilenetv2"))


def runs_of(made: Checkout) -> dict[str, mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{made.root}/mlflow.db")
    experiment = client.get_experiment_by_name("unfreeze")
    assert experiment is not None
    newest_last = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return {run.info.run_name or "": run for run in newest_last}


def test_a_search_leaves_its_trials_and_the_best(searchable: Checkout) -> None:
    found = result(searchable)
    assert [trial["trial"] for trial in found["trials"]] == [0, 1, 2, 3]
    assert found["best"] == choose_best(found["trials"])
    configured = found["trials"][0]
    assert (configured["unfreeze_from"], configured["settings"]) == ("block_16_expand", {"learning_rate": 1e-4})
    gain = found["gain_over_configured"]["log_loss"]
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert len(pd.read_csv(searchable.paths.trials("mobilenetv2"))) == 4
    assert not searchable.paths.search_folder("mobilenetv2").exists()
    assert not list(searchable.paths.features("x").parent.glob(".derived*"))


def test_each_trial_is_a_run_with_its_epochs(searchable: Checkout) -> None:
    runs = runs_of(searchable)
    for trial in result(searchable)["trials"]:
        run = runs[f"mobilenetv2 trial {trial['trial']}"]
        assert run.data.tags["mlflow.parentRunId"] == runs["mobilenetv2"].info.run_id
        assert run.data.params["unfreeze_from"] == trial["unfreeze_from"]
        assert float(run.data.params["learning_rate"]) == trial["settings"]["learning_rate"]
        assert run.data.metrics["score"] == trial["score"]
        assert run.data.metrics["seconds"] > 0
        assert run.data.metrics["peak_mb"] > 0
        assert run.info.status == "FINISHED"
        client = mlflow.MlflowClient(f"sqlite:///{searchable.root}/mlflow.db")
        history = client.get_metric_history(run.info.run_id, "val_loss")
        assert [point.value for point in history] == [epoch["val_loss"] for epoch in trial["epochs"]]


# The stage, ended as `kill -9` does after so many epochs of trials.
KILLED = """
import os, signal, sys
from unfreeze.search import trials
from unfreeze.cli.stages import run_stage
from unfreeze.paths import Paths
from unfreeze.settings.params import load

left = int(sys.argv[1])

class Mortal(trials.Trials):
    def __init__(self, *args, report, **kwargs):
        def count(row):
            global left
            report(row)
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        super().__init__(*args, report=count, **kwargs)

trials.Trials = Mortal
paths = Paths.here()
run_stage("search", load(paths.params), paths, backbone="mobilenetv2")
"""


def test_killed_it_goes_on_to_the_same_trials(searchable: Checkout) -> None:
    before = searchable.paths.search("mobilenetv2").read_bytes()
    # A trial reports four times: the second dies after its first epoch.
    assert searchable.try_run("python", "-c", KILLED, "6").returncode == -signal.SIGKILL
    folder = searchable.paths.search_folder("mobilenetv2")
    assert [path.name for path in folder.glob("*/*.json")] == ["trial-0000.json"]
    said = searchable.run("dvc", "repro", "--force", "--single-item", "search@mobilenetv2")
    assert "mobilenetv2 trial 0:" not in said, "a finished trial is not repeated"
    assert "mobilenetv2 trial 1:" in said
    assert searchable.paths.search("mobilenetv2").read_bytes() == before
    assert not folder.exists()


def test_a_space_that_changed_under_a_stopped_search_is_told(searchable: Checkout) -> None:
    before = searchable.paths.search("mobilenetv2").read_bytes()
    assert searchable.try_run("python", "-c", KILLED, "6").returncode == -signal.SIGKILL
    with searchable.changed_params(search={"epochs": 1}):
        done = searchable.try_run("unfreeze", "search", "mobilenetv2")
    assert done.returncode == 1
    assert "unfinished search with other settings (search.epochs 2, now 1)" in done.stderr
    assert f"or remove {searchable.paths.search_folder('mobilenetv2')} to begin anew" in done.stderr
    searchable.run("unfreeze", "search", "mobilenetv2")
    assert searchable.paths.search("mobilenetv2").read_bytes() == before, "nothing was lost"


def test_two_workers_share_the_trials_of_one_search(searchable: Checkout) -> None:
    before = result(searchable)
    left_by_a_killed_one = searchable.paths.derived_features("mobilenetv2", "worker7")
    left_by_a_killed_one.mkdir()
    searchable.run("unfreeze", "search", "mobilenetv2", "--workers", "2")
    assert not left_by_a_killed_one.exists()
    after = result(searchable)
    assert after["best"]["trial"] == before["best"]["trial"]
    for one, other in zip(before["trials"], after["trials"], strict=True):
        assert one["unfreeze_from"] == other["unfreeze_from"]
        assert one["settings"] == pytest.approx(other["settings"])
        assert one["score"] == pytest.approx(other["score"], rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unfreeze": {"candidates": {"default": ["none", "block99"]}}}, "unfreeze point 'block99': "),
        ({"search": {"dropout": {"min": 0.1, "max": 0.5}}, "head": {"layers": {"default": ["flatten"]}}},
         "dropout 0.5 for a head without a dropout layer"),
        ({"search": {"oracle": "hyperband", "patience": 2}}, "ends poor trials itself: set search.patience=null"),
        ({"unfreeze": {"candidates": {"default": []}}}, "unfreeze.candidates"),
        ({"search": {"max_trials": 1}}, "search.max_trials"),
    ],
    ids=["point", "dropout", "patience", "empty", "budget"],
)  # fmt: skip
def test_a_space_that_cannot_work_is_told_at_once(
    searchable: Checkout, changes: dict[str, dict[str, Any]], message: str
) -> None:
    with searchable.changed_params(**changes):
        done = searchable.try_run("unfreeze", "search", "mobilenetv2")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    journal = searchable.paths.search_folder("mobilenetv2") / "journal.jsonl"
    assert not journal.exists() or not journal.read_bytes(), "what mends it starts no other search"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_start_leaves_a_running_search_alone(searchable: Checkout, workers: str) -> None:
    journal = Journal(searchable.paths.search_folder("mobilenetv2") / "journal.jsonl")
    activations = searchable.paths.derived_features("mobilenetv2", "worker0" if workers == "2" else "")
    activations.mkdir()
    done = searchable.try_run("unfreeze", "search", "mobilenetv2", "--workers", workers)
    journal.close()
    assert "is being written by another process" in done.stderr
    assert activations.exists()
    files.remove(searchable.paths.search_folder("mobilenetv2"))
    files.remove(activations)


def test_workers_end_with_their_chief(searchable: Checkout) -> None:
    command = [sys.executable, "-m", "unfreeze", "search", "mobilenetv2", "--workers", "2"]
    own_code = {**os.environ, "PYTHONPATH": str(searchable.root / "src")}
    with subprocess.Popen(command, cwd=searchable.root, env=own_code, stderr=subprocess.PIPE, text=True) as chief:
        assert chief.stderr is not None
        next(line for line in chief.stderr if "worker1 waits for the chief" in line)
        started = children_of(chief.pid)
        chief.kill()
    assert len(started) >= 2
    deadline = time.monotonic() + 60
    while any(map(runs, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(runs, started))
    # A worker that hears of it too late leaves its activations: the next search removes them.
    searchable.paths.derived_features("mobilenetv2", "worker0").mkdir(exist_ok=True)
    searchable.run("unfreeze", "search", "mobilenetv2")
    assert not list(searchable.paths.features("x").parent.glob(".derived*"))


def test_the_winner_is_what_is_fine_tuned(searchable: Checkout) -> None:
    searchable.run("dvc", "repro", "finetune@mobilenetv2")
    best = result(searchable)["best"]
    record = json.loads(searchable.paths.training("mobilenetv2").read_text())
    assert record["chosen_by"] == "search"
    assert record["unfreeze_from"] == best["unfreeze_from"]
    assert record["learning_rate"] == best["settings"]["learning_rate"]
