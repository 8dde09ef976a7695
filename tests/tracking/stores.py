"""Stores to log to, and what a person sees of them."""

import json
import logging
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow

from tests.tracking.empty_store import put_empty_store
from tests.warm import find_programs
from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.tracking.ledger import Ledger

SECONDS_TO_START = 60


def free() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, port: int, *options: str, **environment: str) -> Iterator[str]:
    """Run `mlflow server` while the block does, and give its address."""
    address = f"http://127.0.0.1:{port}"
    store = []
    if "--backend-store-uri" not in options:
        store = ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
        if not (folder / "server.db").exists():
            put_empty_store(folder / "server.db")
    command = [
        str(find_programs() / "python"), "-m", "mlflow", "server", "--port", str(port), *store, "--workers", "1",
        "--artifacts-destination", str(folder / "artifacts"), *options,
    ]  # fmt: skip
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
    with (
        (folder / "server.log").open("w") as told,
        subprocess.Popen(
            command,
            env={**inherited, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment},
            stdout=told,
            stderr=told,
            start_new_session=True,
            cwd=folder,
        ) as running,
    ):
        try:
            wait_for(address)
            yield address
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def wait_for(address: str) -> None:
    for _ in range(4 * SECONDS_TO_START):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=1)
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"{address} did not start")


@contextmanager
def answering(status: int, *, text: str = "{}", seconds: float = 0) -> Iterator[str]:
    """Run a server that gives every request the same answer, after a while."""

    class Answer(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            time.sleep(seconds)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = handle_request  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()


def names(address: str) -> list[str]:
    """Return the names of all runs in a store."""
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("unfreeze")
    assert experiment is not None
    return sorted(run.info.run_name or "" for run in client.search_runs([experiment.experiment_id], max_results=5000))


def contents(address: str) -> Any:
    """Return all that a person can see of the runs, without ids and times."""
    client = mlflow.MlflowClient(address)
    experiment = client.get_experiment_by_name("unfreeze")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    name_of = {run.info.run_id: run.info.run_name for run in runs}
    models = client.search_logged_models([experiment.experiment_id])
    return sorted(
        json.dumps(
            {
                "name": run.info.run_name,
                "status": run.info.status,
                "above": name_of.get(run.data.tags.get("mlflow.parentRunId")),
                "tags": {key: value for key, value in run.data.tags.items() if key != "mlflow.parentRunId"},
                "params": run.data.params,
                "metrics": {
                    name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
                    for name in sorted(run.data.metrics)
                },
                "artifacts": artifacts(client, run.info.run_id),
                "inputs": sorted(item.dataset.digest for item in run.inputs.dataset_inputs),
                "models": [
                    (model.name, str(model.status)) for model in models if model.source_run_id == run.info.run_id
                ],
                "outputs": len(client.get_run(run.info.run_id).outputs.model_outputs),
            },
            sort_keys=True,
        )
        for run in runs
    )


def artifacts(client: mlflow.MlflowClient, run: str, folder: str | None = None) -> list[str]:
    found = []
    for item in client.list_artifacts(run, folder):
        found += artifacts(client, run, item.path) if item.is_dir else [item.path]
    return sorted(found)


def backbone_run(paths: Paths, name: str = "mobilenetv2") -> Any:
    ledger = Ledger(paths, "unfreeze")
    found = ledger.server.client.search_runs(
        [ledger.server.experiment_id], f"tags.`unfreeze.kind` = 'backbone' AND tags.backbone = '{name}'"
    )
    assert len(found) == 1
    return found[0]


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
