"""`unfreeze ui` shows the runs of a checkout in MLflow's own pages."""

import json
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import PATIENCE, PROJECT
from tests.tracking.empty_store import put_empty_store
from tests.tracking.stores import wait_for


@pytest.mark.slow
def test_the_pages_are_those_of_this_checkout_and_end_with_the_command(tmp_path: Path, free_port: int) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(PROJECT / name, tmp_path / name)
    put_empty_store(tmp_path / "mlflow.db")
    command = ["unfreeze", "ui", "--port", str(free_port)]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as pages:
        assert pages.stderr is not None
        comparison = pages.stderr.readline()
        assert f"http://127.0.0.1:{free_port}/#/" in comparison
        wait_for(f"http://127.0.0.1:{free_port}")
        asked = urllib.request.Request(
            f"http://127.0.0.1:{free_port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=unfreeze"
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            experiment = json.load(answer)["experiment"]
        assert experiment["artifact_location"].startswith(("mlflow-artifacts:", str(tmp_path), "file:"))
        pages.send_signal(signal.SIGINT)
        pages.communicate(timeout=PATIENCE)
