"""The ledger against stores that are there, that come back, and that are not there."""

import json
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tests.conftest import Checkout
from tests.tracking.stores import Captured, answering, backbone_run, contents, names
from tests.warm import find_programs
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.exported_model import Export, Exports
from unfreeze.tracking.ledger import Ledger

BACKBONES = ["mobilenetv2", "from_scratch"]


@pytest.fixture(scope="module")
def synced(studied: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Return a copy of the study whose runs `sync` has made anew, as after `git clone` and `dvc pull`."""
    root = tmp_path_factory.mktemp("synced") / "clone"
    shutil.copytree(studied.root, root, ignore=shutil.ignore_patterns("mlartifacts", "mlflow.db*"))
    Ledger(Paths(root), "unfreeze").sync(BACKBONES)
    return Paths(root)


def test_sync_fills_an_empty_store_and_a_second_adds_nothing(synced: Paths) -> None:
    address = f"sqlite:///{synced.root}/mlflow.db"
    first = contents(address)
    assert names(address).count("mobilenetv2") == 1
    assert names(address).count("mobilenetv2 trial 1") == 1
    with (synced.root / "src/unfreeze/ci/text.py").open("a") as code_of_no_stage:
        code_of_no_stage.write("# No result depends on this.\n")
    Ledger(synced, "unfreeze").sync(BACKBONES)
    assert contents(address) == first


def test_step_numbers_run_on_from_the_head_to_fine_tuning(synced: Paths) -> None:
    run = backbone_run(synced)
    history = Ledger(synced, "unfreeze").server.client.get_metric_history(run.info.run_id, "val_loss")
    assert [point.step for point in history] == [1, 2, 3]


def test_a_backbones_run_says_what_made_it(synced: Paths) -> None:
    run = backbone_run(synced)
    tags = run.data.tags
    assert tags["dvc_lock_sha256"] == files.hash_file(synced.root / "dvc.lock")
    assert tags["data_sha256"] == files.hash_file(synced.manifest)
    assert tags["requirements_sha256"] == files.hash_file(synced.lock)
    assert tags["model_sha256"] == files.hash_file(synced.model("mobilenetv2"))
    assert tags["weights_sha256"] == files.hash_file(synced.weights("mobilenetv2"))
    assert tags["environment"].startswith(f"Python {platform.python_version()}")
    assert json.loads(tags["classes"]) == ["blue", "red"]
    assert tags["image_size"] == "32"


def test_the_folds_are_inputs_with_a_digest_each(synced: Paths) -> None:
    run = backbone_run(synced)
    given = {item.tags[0].value: item.dataset for item in run.inputs.dataset_inputs}
    assert set(given) == {"train", "val", "test"}
    for fold, dataset in given.items():
        assert dataset.digest == run.data.tags[f"{fold}_digest"]
    assert json.loads(given["train"].profile)["classes"] == {"blue": 14, "red": 14}


def test_a_backbones_run_says_how_good_how_sure_and_what_it_costs(synced: Paths) -> None:
    metrics = backbone_run(synced).data.metrics
    row = next(row for row in files.read_json(synced.verdict)["rows"] if row["backbone"] == "mobilenetv2")
    accuracy = row["scores"]["accuracy"]
    expected = {
        "test_accuracy": accuracy["value"],
        "test_accuracy_low": accuracy["low"],
        "test_accuracy_high": accuracy["high"],
        "gain": 100 * row["gain"]["value"],
        "latency_ms": files.read_json(synced.cost("mobilenetv2"))["latency_ms"]["1"],
        "size_mb": row["cost"]["size_mb"],
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert all(len(f"{metrics[name]}") <= 9 for name in expected), "the columns of MLflow's table end there"


def test_a_backbones_run_has_the_machines_metrics(synced: Paths) -> None:
    measured = pd.read_csv(synced.system_metrics("mobilenetv2"))
    metrics = backbone_run(synced).data.metrics
    assert metrics["system/cpu_utilization_percentage"] == measured["cpu_utilization_percentage"].iloc[-1]


def test_the_logged_model_is_the_file_that_was_scored(synced: Paths, tmp_path: Path) -> None:
    entry = Ledger(synced, "unfreeze").complete_entry("from_scratch")
    assert entry.run_id == backbone_run(synced, "from_scratch").info.run_id
    client = Ledger(synced, "unfreeze").server.client
    model = client.get_logged_model(entry.model_id)
    copy = mlflow.artifacts.download_artifacts(f"{model.artifact_location}/data/model.keras", dst_path=str(tmp_path))
    assert files.hash_file(Path(copy)) == files.hash_file(synced.model("from_scratch"))


def test_sync_brings_the_whole_lock_digest(copy_of: Callable[[str], Paths]) -> None:
    paths = copy_of("grown")
    Ledger(paths, "unfreeze").sync(["from_scratch"])
    lock = paths.root / "dvc.lock"
    lock.write_text(lock.read_text() + "\n")
    Ledger(paths, "unfreeze").sync(["from_scratch"])
    assert backbone_run(paths, "from_scratch").data.tags["dvc_lock_sha256"] == files.hash_file(lock)


KILLED = """
import os, signal, sys
from pathlib import Path
from unfreeze.paths import Paths
from unfreeze.tracking import server
from unfreeze.tracking.ledger import Ledger

WRITING = ("create", "log", "set", "finalize")
left = int(sys.argv[2])

class Mortal:
    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        found = getattr(self.client, name)
        if not name.startswith(WRITING):
            return found
        def counted(*args, **kwargs):
            global left
            left -= 1
            # Every second time the call is done, but nobody hears of it.
            if left == 0 and int(sys.argv[2]) % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            said = found(*args, **kwargs)
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return said
        return counted

ledger = Ledger(Paths(Path(sys.argv[1])), "unfreeze")
vars(ledger.server)["client"] = Mortal(ledger.server.client)
ledger.sync(["from_scratch"])
"""


def test_a_sync_that_is_killed_again_and_again_ends_as_one_that_never_was(copy_of: Callable[[str], Paths]) -> None:
    killed, whole = copy_of("killed"), copy_of("whole")
    attempts = 0
    # About fifty calls write; those made before are not made again.
    for calls in (1, 2, 3, 5, 7, 8, 9, 11, 100):
        program = [find_programs() / "python", "-c", KILLED, str(killed.root), str(calls)]
        done = subprocess.run(program, capture_output=True)
        attempts += 1
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    assert done.returncode == 0
    assert attempts > 5
    Ledger(whole, "unfreeze").sync(["from_scratch"])
    assert contents(f"sqlite:///{killed.root}/mlflow.db") == contents(f"sqlite:///{whole.root}/mlflow.db")


def test_a_run_that_was_made_twice_is_left_once(copy_of: Callable[[str], Paths]) -> None:
    paths = copy_of("twice")
    ledger = Ledger(paths, "unfreeze")
    ledger.sync(["from_scratch"])
    first = backbone_run(paths, "from_scratch")
    ledger.server.client.create_run(ledger.server.experiment_id, tags=first.data.tags)
    ledger.sync(["from_scratch"])
    assert backbone_run(paths, "from_scratch").info.run_id == first.info.run_id


def record_export(paths: Paths, latency_ms: float, *, model: str | None = None) -> None:
    """Write what `unfreeze export` keeps of one format."""
    row = Export(
        format="openvino-int8",
        megabytes=1.5,
        latency_ms=latency_ms,
        images_per_second=900.0,
        difference=0.25,
        accuracy=0.9,
        p_value=1.0,
    )
    digest = model or files.hash_file(paths.model("from_scratch"))
    exports = Exports(backbone="from_scratch", model_sha256=digest, formats=(row,))
    exports.write(paths.exports("from_scratch"))


def test_exports_are_in_the_run_of_their_backbone_as_measured_last(copy_of: Callable[[str], Paths]) -> None:
    paths = copy_of("exported")
    record_export(paths, 5.0)
    Ledger(paths, "unfreeze").log_exports("from_scratch")
    assert "from_scratch" not in names(f"sqlite:///{paths.root}/mlflow.db"), "an export makes no run"
    Ledger(paths, "unfreeze").sync(["from_scratch"])
    logged = backbone_run(paths, "from_scratch")
    assert logged.data.metrics["export/openvino-int8/latency_ms"] == 5.0
    record_export(paths, 4.0)
    for _ in range(2):
        Ledger(paths, "unfreeze").log_exports("from_scratch")
    run, client = backbone_run(paths, "from_scratch"), Ledger(paths, "unfreeze").server.client
    shown = {name: value for name, value in run.data.metrics.items() if name.startswith("export/")}
    assert shown == {
        f"export/openvino-int8/{name}": value
        for name, value in {
            "megabytes": 1.5, "latency_ms": 4.0, "images_per_second": 900.0, "difference": 0.25, "accuracy": 0.9,
            "p_value": 1.0,
        }.items()
    }  # fmt: skip
    history = client.get_metric_history(run.info.run_id, "export/openvino-int8/latency_ms")
    assert [point.value for point in history] == [5.0, 4.0]
    kept = Path(client.download_artifacts(run.info.run_id, "export/from_scratch.json"))
    assert kept.read_bytes() == paths.exports("from_scratch").read_bytes()
    assert run.info.status == "FINISHED"


def test_exports_of_another_model_are_not_in_the_run(copy_of: Callable[[str], Paths]) -> None:
    paths = copy_of("another")
    record_export(paths, 5.0, model="0" * 64)
    Ledger(paths, "unfreeze").sync(["from_scratch"])
    assert not [name for name in backbone_run(paths, "from_scratch").data.metrics if name.startswith("export/")]


def test_a_server_out_of_reach_costs_no_result(
    studied: Checkout, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port}")
    ledger = Ledger(studied.paths, "unfreeze")
    with Captured() as lines:
        ledger.log_training("mobilenetv2")
        ledger.log_evaluation("mobilenetv2")
        ledger.log_exports("mobilenetv2")
    assert len(lines) == 3
    assert lines[0].startswith("not logged in MLflow: training mobilenetv2")
    assert "unfreeze sync" in lines[0]
    assert lines[1:] == [f"not logged in MLflow: {part} mobilenetv2" for part in ("evaluation", "exports")]
    assert "secret" not in "".join(lines)
    shown = studied.try_run("unfreeze", "sync", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port}")
    assert shown.returncode == 1


def test_a_server_that_never_answers_costs_a_stage_less_than_a_minute(
    studied: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long a stage waits for each answer; here it is a second, and what counts is how often it waits.
    seconds = int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        ledger = Ledger(studied.paths, "unfreeze")
        with Captured() as lines:
            ledger.log_search("mobilenetv2")
            ledger.log_training("mobilenetv2")
            ledger.log_evaluation("mobilenetv2")
        waits = count_connections(silent)
    assert waits
    assert waits * seconds < 60
    assert [line.split(": ")[1].split(" (")[0] for line in lines] == [
        "search mobilenetv2", "training mobilenetv2", "evaluation mobilenetv2",
    ]  # fmt: skip


def count_connections(silent: socket.socket) -> int:
    """Count the connections that wait to be accepted."""
    silent.setblocking(False)
    found = 0
    with suppress(BlockingIOError):
        while True:
            silent.accept()[0].close()
            found += 1
    return found


@pytest.mark.parametrize("status", [500, 507])
def test_a_full_server_costs_no_result(studied: Checkout, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with answering(status) as address, Captured() as lines:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        Ledger(studied.paths, "unfreeze").log_evaluation("mobilenetv2")
    assert len(lines) == 1
    assert lines[0].startswith("not logged in MLflow: evaluation mobilenetv2")


def test_what_a_full_disk_kept_from_the_store_the_next_sync_sends(
    copy_of: Callable[[str], Paths], synced: Paths
) -> None:
    paths = copy_of("full")
    code = """
import resource, sys
from pathlib import Path
from unfreeze.runtime.console import configure_logging
from unfreeze.paths import Paths
from unfreeze.records.exported_model import Export, Exports
from unfreeze.tracking.ledger import Ledger
configure_logging()
ledger = Ledger(Paths(Path(sys.argv[1])), "unfreeze")
ledger.server.experiment_id
size = (Path(sys.argv[1]) / "mlflow.db").stat().st_size
# A page of the database more, then the disk is full.
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 4096, resource.RLIM_INFINITY))
ledger.log_study(["mobilenetv2", "from_scratch"])
sys.exit(not ledger.out_of_reach)
"""
    done = subprocess.run([find_programs() / "python", "-c", code, str(paths.root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "not logged in MLflow: study" in done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    Ledger(paths, "unfreeze").sync(BACKBONES)
    assert contents(f"sqlite:///{paths.root}/mlflow.db") == contents(f"sqlite:///{synced.root}/mlflow.db")


def test_a_database_without_its_files_costs_a_stage_a_warning_that_names_the_remedy(
    synced: Paths, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(synced.root, copy, ignore=shutil.ignore_patterns("mlartifacts"))
    ledger = Ledger(Paths(copy), "unfreeze")
    with Captured() as lines:
        ledger.log_training("mobilenetv2")
    assert f"copy that folder to {copy}/mlartifacts, then run this again" in lines[0]
    with pytest.raises(UnfreezeError, match="were not copied with it"):
        ledger.sync(BACKBONES)


def test_a_study_that_is_not_finished_is_told_what_is_missing(copy_of: Callable[[str], Paths]) -> None:
    paths = copy_of("begun")
    paths.evaluation("from_scratch").unlink()
    with pytest.raises(UnfreezeError, match="metrics/evaluate/from_scratch.json is missing: run `dvc repro`"):
        Ledger(paths, "unfreeze").complete_entry("from_scratch")


def test_no_secret_of_the_settings_reaches_a_run(copy_of: Callable[[str], Paths]) -> None:
    paths = copy_of("secret")
    text = paths.params.read_text()
    source = next(line for line in text.splitlines() if line.strip().startswith("source:"))
    paths.params.write_text(
        text.replace(source, "  source: https://ada:hunter22@host/x.zip?X-Amz-Signature=hunter22")
    )
    Ledger(paths, "unfreeze").sync(["from_scratch"])
    run = backbone_run(paths, "from_scratch")
    assert run.data.params["data.source"] == "https://host/x.zip?X-Amz-Signature=***"
    stored = [paths.root / "mlflow.db", *(paths.root / "mlartifacts").rglob("*")]
    assert not [path for path in stored if path.is_file() and b"hunter22" in path.read_bytes()]
