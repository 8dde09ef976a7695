"""What the machine did while a model was trained: MLflow's own measures, kept in a file."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.runtime.imports import pause_collector

SECONDS = 5.0
# MLflow's page of a run shows by it which metrics are the machine's.
PREFIX = "system/"


@contextmanager
def sampled(path: Path, *, every: float = SECONDS) -> Iterator[None]:
    """Measure processors, memory, disk, network and graphics while the block runs, and write what was measured.

    Args:
        path: The table: `seconds` since the begin, and a column a measure, one row each time.
        every: Seconds from one measurement to the next.
    """
    monitors = _list_monitors()
    rows: list[dict[str, float]] = []
    begun = time.monotonic()
    over = threading.Event()

    def measure() -> None:
        row = {"seconds": round(time.monotonic() - begun, 1)}
        for monitor in monitors:
            monitor.collect_metrics()
            row |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        rows.append(row)

    def sample() -> None:
        while not over.wait(every):
            measure()

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    # A block shorter than the time between two measurements has one row too.
    measure()
    files.write_csv(path, pd.DataFrame(rows))


def read(path: Path) -> Iterator[tuple[str, float, int, int]]:
    """Yield name, value, step and milliseconds since the begin of all that `sampled` has written."""
    for step, row in enumerate(pd.read_csv(path).to_dict("records")):
        after = int(1000 * row.pop("seconds"))
        for name, value in row.items():
            yield f"{PREFIX}{name}", float(value), step, after


def _list_monitors() -> list[Any]:
    with pause_collector():
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        monitors.append(GPUMonitor())
    # As MLflow does: without NVIDIA's library or its driver there is nothing to measure.
    except Exception:
        return monitors
    return monitors
