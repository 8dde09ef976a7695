"""Measure `unfreeze sync` on a study of 1,000 runs with 20 epochs each, into ledger.md.

python -m benchmarks.ledger [--study CHECKOUT]

The checkout holds a finished study; a copy of it gets a search of so many trials that there are 1,000 runs.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree, ignore_patterns

from benchmarks import inputs, measure
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.params import load

PAGE = Path(__file__).with_name("ledger.md")
RUNS = 1000
EPOCHS = 20
SECONDS_TO_START = 60

TEXT = """# How long `unfreeze sync` takes

Written by `make bench-ledger`. {machine}.

A study of {runs:,} runs with {epochs} epochs each, seconds with the start of the command:

| store | an empty one | nothing to do | target |
|---|---|---|---|
| SQLite in the checkout | {sqlite:.0f} | {sqlite_again:.0f} | 300 |
| `mlflow server` on loopback, SQLite behind it | {server:.0f} | {server_again:.0f} | 300 |
"""


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, default=inputs.ROOT, help="a checkout with a finished study")
    options = parser.parse_args()
    console.configure_logging()
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-") as folder:
        study = Path(folder) / "study"
        left_out = ignore_patterns(
            ".venv", ".git", ".dvc", "raw", "features", "*.weights.h5", "mlflow.db*", "mlartifacts"
        )
        copytree(options.study, study, ignore=left_out)
        enlarge(Paths(study))
        taken = {"sqlite": sync(study), "sqlite_again": sync(study)}
        with serving(Path(folder)) as address:
            taken |= {"server": sync(study, address), "server_again": sync(study, address)}
    machine = ", ".join(measure.machine().values())
    files.write_text(PAGE, TEXT.format(machine=machine, runs=RUNS, epochs=EPOCHS, **taken))


def enlarge(paths: Paths) -> None:
    """Give the first backbone a search of so many trials that the study has RUNS runs."""
    backbone = load(paths.params).study.backbones[0]
    search = files.read_json(paths.search(backbone))
    trial = search["trials"][0]
    values = {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.6, "val_accuracy": 0.7}
    epochs = [{name: value / (1 + epoch) for name, value in values.items()} for epoch in range(EPOCHS)]
    search["trials"] = [{**trial, "trial": number, "epochs": epochs, "score": 0.6} for number in range(RUNS)]
    files.write_json(paths.search(backbone), search)


def sync(study: Path, address: str = "") -> float:
    """Return the seconds that a sync takes."""
    program = str(Path(sys.executable).with_name("unfreeze"))
    return measure.run([program, "sync"], folder=study, environment={"MLFLOW_TRACKING_URI": address}).seconds


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run MLflow's server on an empty store."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/artifacts",
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(command, env=environment, cwd=folder, start_new_session=True) as running:
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(running.pid, signal.SIGTERM)


def wait_for(address: str) -> None:
    """Wait until a server answers.

    Raises:
        TimeoutError: It does not start.
    """
    for _ in range(4 * SECONDS_TO_START):
        try:
            urllib.request.urlopen(address, timeout=1)
            return
        except OSError:
            time.sleep(0.25)
    raise TimeoutError(f"{address} did not answer within {SECONDS_TO_START} s")


if __name__ == "__main__":
    main()
