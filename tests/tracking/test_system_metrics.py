"""What the machine did is measured while something runs."""

import time
from pathlib import Path

import pandas as pd

from unfreeze.tracking import system_metrics


def test_what_runs_is_measured_every_so_often_and_at_its_end(tmp_path: Path) -> None:
    with system_metrics.sampled(tmp_path / "system.csv", every=0.2):
        time.sleep(0.7)
    table = pd.read_csv(tmp_path / "system.csv")
    assert len(table) >= 3
    assert table["seconds"].is_monotonic_increasing
    assert table["system_memory_usage_megabytes"].gt(0).all()
    assert table["cpu_utilization_percentage"].between(0, 100).all()


def test_it_is_logged_under_the_names_that_mlflow_knows(tmp_path: Path) -> None:
    (tmp_path / "system.csv").write_text("seconds,cpu_utilization_percentage\n5.0,80.5\n10.0,70.0\n")
    assert list(system_metrics.read(tmp_path / "system.csv")) == [
        ("system/cpu_utilization_percentage", 80.5, 0, 5000),
        ("system/cpu_utilization_percentage", 70.0, 1, 10000),
    ]


def test_what_fails_leaves_no_measures(tmp_path: Path) -> None:
    try:
        with system_metrics.sampled(tmp_path / "system.csv", every=0.2):
            raise ValueError
    except ValueError:
        assert not (tmp_path / "system.csv").exists()
