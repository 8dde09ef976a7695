"""The search as a user runs it: with DVC, killed, taken up again, on several processes and machines."""

import json
import os
import re
import signal
import subprocess
import sys
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import Checkout, children_of, wait_until_ended
from tests.stages.losses import lose_worker_and_node, start_stage, wait_for
from unfreeze import files
from unfreeze.records.trial import SearchResult
from unfreeze.search.journal import Journal
from unfreeze.search.outcome import choose_best


def result(made: Checkout, backbone: str = "small") -> dict[str, Any]:
    return files.read_json(made.paths.search(backbone))


def runs_of(made: Checkout) -> dict[str, mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{made.root}/mlflow.db")
    experiment = client.get_experiment_by_name("unfreeze")
    assert experiment is not None
    newest_last = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return {run.info.run_name or "": run for run in newest_last}


def test_a_search_leaves_its_trials_and_the_best(searchable: Checkout) -> None:
    found = SearchResult.read(searchable.paths.search("small"))
    assert [trial.trial for trial in found.trials] == [0, 1, 2, 3]
    assert found.best == choose_best(found.trials)
    configured = found.trials[0]
    assert (configured.unfreeze_from, configured.settings) == ("high_expand", {"learning_rate": 1e-4})
    assert found.gain_over_configured
    gain = found.gain_over_configured["log_loss"]
    assert gain.low <= gain.mean <= gain.high
    assert len(pd.read_csv(searchable.paths.trials("small"))) == 4
    assert not searchable.paths.search_folder("small").exists()
    assert not list(searchable.paths.features("x").parent.glob(".derived*"))


def test_each_trial_is_a_run_with_its_epochs(searchable: Checkout) -> None:
    runs = runs_of(searchable)
    for trial in result(searchable)["trials"]:
        run = runs[f"small trial {trial['trial']}"]
        assert run.data.tags["mlflow.parentRunId"] == runs["small"].info.run_id
        assert run.data.params["unfreeze_from"] == trial["unfreeze_from"]
        assert float(run.data.params["learning_rate"]) == trial["settings"]["learning_rate"]
        assert run.data.metrics["score"] == trial["score"]
        assert run.data.metrics["seconds"] > 0
        assert run.data.metrics["peak_mb"] > 0
        assert run.info.status == "FINISHED"
        client = mlflow.MlflowClient(f"sqlite:///{searchable.root}/mlflow.db")
        history = client.get_metric_history(run.info.run_id, "val_loss")
        assert [point.value for point in history] == [epoch["val_loss"] for epoch in trial["epochs"]]


def test_it_goes_on_from_deeper_points_and_again_after_a_stop(searchable: Checkout) -> None:
    before = result(searchable)["trials"]
    # Of the eight epochs and eight more reports of four trials, and of a deeper one.
    with searchable.changed_params(search={"deeper": 1}):
        assert searchable.try_run("python", "-c", KILLED, "18").returncode == -signal.SIGKILL
        searchable.run("unfreeze", "search", "small")
        trials = result(searchable)["trials"]
    searchable.run("unfreeze", "search", "small")
    assert result(searchable)["trials"] == before
    assert trials[:4] == before
    (deeper,) = trials[4:]
    assert deeper["unfreeze_point"] not in [trial["unfreeze_point"] for trial in before]
    assert deeper["trainable_parameters"] > max(trial["trainable_parameters"] for trial in before)
    assert len(deeper["epochs"]) == 4, "no trial is right on nine in ten: all deeper ones run for a cycle"
    assert deeper["score"] == deeper["val_loss"]


def test_minutes_for_two_trials_end_it_after_two_and_leave_an_epoch(searchable: Checkout) -> None:
    before = result(searchable)["trials"]
    # By arithmetic 0.9 s of training; a trial takes 0.3 s, and an epoch of fine-tuning half as long.
    with searchable.changed_params(study={"minutes": 0.03}, search={"deeper": 1}):
        said = searchable.run("unfreeze", "search", "small")
        found = result(searchable)["trials"]
        searchable.run("unfreeze", "finetune", "small")
    searchable.run("unfreeze", "search", "small")
    searchable.run("unfreeze", "finetune", "small")
    assert "study.minutes leaves no time for further trials" in said
    assert found == before[:2]


def test_without_epochs_of_fine_tuning_there_is_nothing_to_search(searchable: Checkout) -> None:
    before = searchable.paths.search("small").read_bytes()
    finetune = yaml.safe_load(searchable.paths.params.read_text())["train"]["finetune"]
    with searchable.changed_params(train={"finetune": {"default": {**finetune["default"], "epochs": 0}}}):
        said = searchable.run("unfreeze", "search", "small")
        assert result(searchable) == {"best": None, "gain_over_configured": None, "trials": []}
    assert "train.finetune.epochs is 0" in said
    searchable.run("unfreeze", "search", "small")
    assert searchable.paths.search("small").read_bytes() == before


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
        def count(trial):
            global left
            report(trial)
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        super().__init__(*args, report=count, **kwargs)

trials.Trials = Mortal
paths = Paths.here()
run_stage("search", load(paths.params), paths, backbone="small")
"""


def test_killed_it_goes_on_to_the_same_trials(searchable: Checkout) -> None:
    before = searchable.paths.search("small").read_bytes()
    # A trial reports four times: the second dies after its first epoch.
    assert searchable.try_run("python", "-c", KILLED, "6").returncode == -signal.SIGKILL
    folder = searchable.paths.search_folder("small")
    assert [path.name for path in folder.glob("*/*.json")] == ["trial-0000.json"]
    said = searchable.run("dvc", "repro", "--force", "--single-item", "search@small")
    assert "small trial 0:" not in said, "a finished trial is not repeated"
    assert "small trial 1:" in said
    assert searchable.paths.search("small").read_bytes() == before
    assert not folder.exists()


def test_a_space_that_changed_under_a_stopped_search_is_told(searchable: Checkout) -> None:
    before = searchable.paths.search("small").read_bytes()
    assert searchable.try_run("python", "-c", KILLED, "6").returncode == -signal.SIGKILL
    with searchable.changed_params(search={"epochs": 1, "at_once": 2}):
        done = searchable.try_run("unfreeze", "search", "small")
    assert done.returncode == 1
    assert "unfinished search with other settings (search.at_once 1, now 2, search.epochs 2, now 1)" in done.stderr
    assert f"or remove {searchable.paths.search_folder('small')} to begin anew" in done.stderr
    searchable.run("unfreeze", "search", "small")
    assert searchable.paths.search("small").read_bytes() == before, "nothing was lost"


@pytest.fixture(scope="module")
def one_by_one(searchable: Checkout) -> dict[str, Any]:
    """Return what was found by trials that ran in the stage's process."""
    return result(searchable, "from_scratch")


@pytest.fixture(scope="module")
def at_once(one_by_one: dict[str, Any], searchable: Checkout) -> bytes:
    """Let three trials run at once in processes of this machine, and return the file that the search writes."""
    with searchable.changed_params(search={"at_once": 3}):
        searchable.run("unfreeze", "search", "from_scratch")
    return searchable.paths.search("from_scratch").read_bytes()


def test_trials_at_once_are_those_of_one_process(
    searchable: Checkout, one_by_one: dict[str, Any], at_once: bytes
) -> None:
    after = json.loads(at_once)
    assert after["best"]["trial"] == one_by_one["best"]["trial"]
    for one, other in zip(one_by_one["trials"], after["trials"], strict=True):
        assert one["settings"] == other["settings"]
        # They are computed with fewer threads.
        assert one["score"] == pytest.approx(other["score"], rel=1e-3)
    assert len({trial["score"] for trial in after["trials"]}) == 4
    run = runs_of(searchable)["from_scratch trial 3"]
    assert run.data.metrics["score"] == pytest.approx(after["trials"][3]["score"], rel=1e-3)
    assert not list(searchable.paths.features("x").parent.glob(".derived*"))


ON_A_CLUSTER: dict[str, dict[str, object]] = {"search": {"at_once": 3}, "cluster": {"engine": "ray"}}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_trials_of_a_cluster_are_those_of_this_machine(
    searchable: Checkout, at_once: bytes, nodes: Any, count: int
) -> None:
    nodes.resize(count)
    with searchable.changed_params(**ON_A_CLUSTER):
        # The number of the driver's processors decides as little as that of nodes.
        bound = ["taskset", "--cpu-list", "0"] if count == 1 else []
        searchable.run(*bound, "unfreeze", "search", "from_scratch")
    assert searchable.paths.search("from_scratch").read_bytes() == at_once


def test_killed_processes_and_a_killed_driver_change_no_trial(searchable: Checkout, at_once: bytes) -> None:
    left_by_a_killed_one = searchable.paths.derived_features("from_scratch", "node-7")
    left_by_a_killed_one.mkdir()
    command = [sys.executable, "-m", "unfreeze", "search", "from_scratch"]
    own_code = {**os.environ, "PYTHONPATH": str(searchable.root / "src")}
    trials = "models/search/from_scratch/trials"
    with searchable.changed_params(search={"at_once": 3}):
        with subprocess.Popen(
            command, cwd=searchable.root, env=own_code, stderr=subprocess.PIPE, text=True
        ) as driver:
            # A process that runs trials names its folder after itself.
            wait_for(searchable, f"{trials}/head.npz")
            first = wait_for(searchable, "data/features/.derived-from_scratch-*")[0]
            assert not left_by_a_killed_one.exists()
            os.kill(int(first.name.rpartition("-")[2]), signal.SIGKILL)
            wait_for(searchable, f"{trials}/trial-*.json", 2)
            started = children_of(driver.pid)
            driver.kill()
            assert driver.stderr is not None
            assert "trial 0 failed: its process ended by SIGKILL" in driver.stderr.read()
        kept = {path: path.stat().st_mtime_ns for path in searchable.root.glob(f"{trials}/trial-*.json")}
        assert 2 <= len(kept) < 4
        wait_until_ended(started)
        said = searchable.run("unfreeze", "search", "from_scratch")
    assert searchable.paths.search("from_scratch").read_bytes() == at_once
    assert not any(f"training from_scratch trial {int(path.stem[-4:])}:" in said for path in kept)
    assert not list(searchable.paths.features("x").parent.glob(".derived*"))


def test_a_worker_a_node_and_the_driver_that_are_lost_change_no_trial(
    searchable: Checkout, at_once: bytes, nodes: Any
) -> None:
    nodes.resize(3)
    trials = "models/search/from_scratch/trials/trial-*.json"
    with searchable.changed_params(**ON_A_CLUSTER):
        with start_stage(searchable, "search") as driver:
            lose_worker_and_node(searchable, nodes)
            wait_for(searchable, trials, 2)
            workers = nodes.list_workers()
            driver.kill()
            assert driver.stderr is not None
            assert len(re.findall(r"search@from_scratch: trial \d failed: ", driver.stderr.read())) == 2
        wait_until_ended(workers)
        kept = {int(path.stem[-4:]) for path in searchable.root.glob(trials)}
        assert 2 <= len(kept) < 4
        said = searchable.run("unfreeze", "search", "from_scratch")
    assert searchable.paths.search("from_scratch").read_bytes() == at_once
    run = {int(number) for number in re.findall(r"from_scratch trial (\d): score", said)}
    assert run == {0, 1, 2, 3} - kept
    assert not list(searchable.paths.features("x").parent.glob(".derived*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unfreeze": {"candidates": {"default": ["none", "block99"]}}}, "unfreeze point 'block99': "),
        ({"search": {"dropout": {"min": 0.1, "max": 0.5}}, "head": {"layers": {"default": ["flatten"]}}},
         "dropout 0.5 for a head without a dropout layer"),
        ({"search": {"oracle": "hyperband", "patience": 2}}, "ends poor trials itself: set search.patience=null"),
        ({"unfreeze": {"candidates": {"default": []}}}, "unfreeze.candidates"),
        ({"search": {"max_trials": 1}}, "search.max_trials"),
        ({"study": {"minutes": 0.01}}, "study.minutes=0.01 leaves 0 s of the reference machine for fine-tuning"),
        ({"search": {"at_once": 0}}, "search.at_once"),
        ({"search": {"at_once": "all"}}, "search.at_once"),
    ],
    ids=["point", "dropout", "patience", "empty", "trials", "minutes", "none at once", "no number"],
)  # fmt: skip
def test_a_space_that_cannot_work_is_told_at_once(
    searchable: Checkout, changes: dict[str, dict[str, Any]], message: str
) -> None:
    with searchable.changed_params(**changes):
        done = searchable.try_run("unfreeze", "search", "small")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    journal = searchable.paths.search_folder("small") / "journal.jsonl"
    assert not journal.exists() or not journal.read_bytes(), "what mends it starts no other search"


def test_a_second_start_leaves_a_running_search_alone(searchable: Checkout) -> None:
    journal = Journal(searchable.paths.search_folder("small") / "journal.jsonl")
    activations = [searchable.paths.derived_features("small", worker) for worker in ("", "node-7")]
    for folder in activations:
        folder.mkdir()
    done = searchable.try_run("unfreeze", "search", "small")
    journal.close()
    assert "is being written by another process" in done.stderr
    assert all(folder.exists() for folder in activations)
    for folder in (searchable.paths.search_folder("small"), *activations):
        files.remove(folder)


def test_the_winner_is_what_is_fine_tuned(searchable: Checkout) -> None:
    searchable.run("dvc", "repro", "finetune@small")
    best = result(searchable)["best"]
    record = json.loads(searchable.paths.training("small").read_text())
    assert record["chosen_by"] == "search"
    assert record["unfreeze_from"] == best["unfreeze_from"]
    assert record["learning_rate"] == best["settings"]["learning_rate"]


# The commands on two devices of one processor, which is how TensorFlow tests what it does on two GPUs.
ON_TWO_DEVICES = """
import os, sys
import tensorflow as tf
from unfreeze.cli.main import main

processor, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
for stage in ("search", "finetune"):
    main([stage, "small"])
"""


def test_two_devices_find_and_train_what_one_does(searchable: Checkout) -> None:
    # With dropout they differ: each device drops the same values of its part of a batch.
    phases = yaml.safe_load(searchable.paths.params.read_text())["train"]
    for phase in ("head", "finetune"):
        phases[phase]["default"] |= {"dropout": 0.0, "batch_size": 7}
    with searchable.changed_params(train=phases, search={"max_trials": 2}):
        searchable.run("unfreeze", "search", "small")
        searchable.run("unfreeze", "finetune", "small")
        one = read_training(searchable)
        said = searchable.run("python", "-c", ON_TWO_DEVICES, UNFREEZE_DEVICES="CPU:0,CPU:1")
        assert said.count("each batch is divided among CPU:0, CPU:1") == 2
        two = read_training(searchable)
    for before, after, bound in zip(one, two, (1e-4, 1e-4, 1e-3), strict=True):
        np.testing.assert_allclose(after, before, atol=bound)


def read_training(made: Checkout) -> tuple[Any, ...]:
    """Return the trials' losses, the losses of each epoch, and what the saved model says of two images."""
    import keras

    losses = ["loss", "val_loss"]
    model = keras.models.load_model(made.paths.model("small"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:])).astype("uint8")
    trials = [trial["val_loss"] for trial in result(made)["trials"]]
    return trials, pd.read_csv(made.paths.history("small"))[losses], model.predict_on_batch(pixels)
