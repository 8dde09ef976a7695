"""A stage that trains on a cluster, and what it loses midway."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests import warm
from tests.conftest import PATIENCE, Checkout


def wait_for(made: Checkout, pattern: str, count: int = 1) -> list[Path]:
    """Return the files and folders of a pattern, as soon as there are so many."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        found = sorted(made.root.glob(pattern))
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{pattern} is not there")


def start_stage(made: Checkout, stage: str) -> subprocess.Popen[str]:
    """Start a stage of `from_scratch`."""
    return subprocess.Popen(
        [warm.find_programs() / "unfreeze", stage, "from_scratch"],
        cwd=made.root,
        env={**os.environ, "PYTHONPATH": str(made.root / "src")},
        stderr=subprocess.PIPE,
        text=True,
    )


def lose_worker_and_node(made: Checkout, nodes: Any) -> None:
    """Kill a worker and take away the node of another one, each as soon as it trains."""
    killed = lose_worker(made)
    nodes.lose_node_of(wait_for_worker(made, {killed}))


def lose_worker(made: Checkout) -> int:
    """Kill a worker as soon as it trains, and return which one it was."""
    worker = wait_for_worker(made, set())
    os.kill(worker, signal.SIGKILL)
    return worker


def wait_for_worker(made: Checkout, known: set[int]) -> int:
    """Return a process that trains and is not known yet: each names its folder after itself."""
    while True:
        folders = wait_for(made, "data/features/.derived-from_scratch-*")
        workers = {int(folder.name.rpartition("-")[2]) for folder in folders}
        if workers - known:
            return (workers - known).pop()
        time.sleep(0.02)
