"""The ledger against stores that are there, that come back, and that are not there."""

import logging
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.conftest import Checkout
from unfreeze.console import log
from unfreeze.paths import Paths
from unfreeze.tracking.ledger import Ledger


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[str]:
    address = f"http://127.0.0.1:{free_port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--port", str(free_port),
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination", str(tmp_path / "artifacts"),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = (tmp_path / "server.log").open("w")
    with subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True) as running:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.25)
        yield address
        os.killpg(running.pid, 15)


def names(address: str) -> list[str]:
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("unfreeze")
    assert experiment is not None
    return sorted(run.info.run_name or "" for run in client.search_runs([experiment.experiment_id], max_results=500))


def test_a_sync_fills_an_empty_server_and_a_second_adds_nothing(studied: Checkout, server: str) -> None:
    studied.run("unfreeze", "sync", MLFLOW_TRACKING_URI=server)
    first = names(server)
    assert first.count("mobilenetv2") == 1
    assert first.count("trial 1") == 2
    studied.run("unfreeze", "sync", MLFLOW_TRACKING_URI=server)
    assert names(server) == first


def test_a_server_out_of_reach_costs_no_result(
    studied: Checkout, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port}")
    ledger = Ledger(studied.paths, "unfreeze")
    with Captured() as lines:
        ledger.log_training("mobilenetv2")
        ledger.log_evaluation("mobilenetv2")
    assert len(lines) == 2
    assert lines[0].startswith("not logged in MLflow: training mobilenetv2")
    assert "unfreeze sync" in lines[0]
    assert lines[1] == "not logged in MLflow: evaluation mobilenetv2"
    assert "secret" not in "".join(lines)
    shown = studied.try_run("unfreeze", "sync", MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port}")
    assert shown.returncode == 1


class Captured(logging.Handler):
    """The project's warnings while the block runs."""

    def __enter__(self) -> list[str]:
        self.lines: list[str] = []
        log.addHandler(self)
        return self.lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)


def test_a_moved_checkout_is_told_how_to_get_its_ledger_back(studied: Checkout, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(studied.root, moved, ignore=shutil.ignore_patterns("mlartifacts"))
    ledger = Ledger(Paths(moved), "unfreeze")
    with Captured() as lines:
        ledger.log_training("mobilenetv2")
    assert "mlflow.db was made in another folder" in lines[0]
