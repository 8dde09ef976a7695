"""Programs that start at once, because a process that has loaded their libraries forks for each of them.

A stage works for a second and loads TensorFlow, Great Expectations and MLflow for five before. Here a server
loads such libraries once for a run of the tests; `unfreeze`, `dvc` and `python` of a folder ask it for a process of
their own, with their arguments, environment, folder, streams and signals. The code of this project is never loaded
beforehand: each process imports that of its checkout, as `dvc repro` would have it. Tests of how programs start, and
of what must not depend on the process, take the real ones.
"""

import fcntl
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = ("unfreeze", "dvc", "python")
# Loading takes twenty seconds on a busy machine.
SECONDS_TO_START = 300


@functools.cache
def find_programs() -> Path:
    """Return the folder of the programs, once the server of this run of the tests is there.

    The workers of one run share it. It ends with the run, however that ends.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    owner = os.getppid() if is_worker else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"unfreeze-tests-{owner}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "socket").exists():
            _write_programs(folder)
            _start_server(folder, owner)
    return folder


def _write_programs(folder: Path) -> None:
    client = (HERE / "client.py").read_text()
    for name in PROGRAMS:
        # Without `site`, which takes longer than all the client does.
        (folder / name).write_text(f"#!{sys.executable} -IS\n{client}")
        (folder / name).chmod(0o755)


def _start_server(folder: Path, owner: int) -> None:
    # Those that decide what each process does at its start.
    without = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), str(folder), str(owner)],
            env={name: value for name, value in os.environ.items() if name not in without},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + SECONDS_TO_START
    while not (folder / "socket").exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server of {folder} did not start:\n{(folder / 'log').read_text()[-4000:]}")
        time.sleep(0.05)
