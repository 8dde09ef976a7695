"""Rows that one machine computes, with shards that are finished already."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unfreeze.cluster.local import Local
from unfreeze.cluster.parts import compute_part
from unfreeze.cluster.shards import Compute, Work, plan_shards
from unfreeze.cluster.storage import Storage
from unfreeze.settings.cluster import Cluster


def compute(start: int, stop: int) -> Iterator[np.ndarray]:
    """Yield squares, three at a time."""
    for first in range(start, stop, 3):
        yield np.arange(first, min(first + 3, stop), dtype="int64")[:, None] ** 2


def load() -> Compute:
    return compute


SETTINGS = Cluster(engine="local", storage=None, rows_per_shard=16, cpus_per_worker=1, tries=3, max_file_gb=1)
WORK = Work("squares", {}, (10, 7, 300), load)
WHOLE = [number**2 for number in range(317)]


def refuse(start: int, stop: int) -> Iterator[np.ndarray]:
    raise AssertionError(f"rows {start} to {stop} are finished already")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(size=st.integers(1, 350), finished=st.sets(st.integers(0, 6)), done=st.integers(0, 317))
def test_rows_are_the_same_whatever_is_finished(
    tmp_path_factory: pytest.TempPathFactory, size: int, finished: set[int], done: int
) -> None:
    storage = Storage(str(tmp_path_factory.mktemp("shards")))
    shards = plan_shards(WORK, size)
    for number in finished & set(range(len(shards))):
        storage.write(shards[number], compute(shards[number].start, shards[number].stop))
    local = Local(SETTINGS.model_copy(update={"rows_per_shard": size}), storage)
    blocks = list(local.iterate_rows(WORK, done))
    assert [int(row[0]) for block in blocks for row in block] == WHOLE[done:]


@pytest.mark.parametrize("parts", [1, 3, 50])
def test_parts_together_leave_nothing_to_compute(
    tmp_path: Path, parts: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "unfreeze")
    storage = Storage(str(tmp_path / "shards"))
    count = partial(compute_part, WORK, storage, 16, of=parts)
    assert sum(count(index=index) for index in range(parts)) == len(plan_shards(WORK, 16))
    assert sum(count(index=index) for index in range(parts)) == 0
    rows = np.concatenate(list(Local(SETTINGS, storage).iterate_rows(replace(WORK, loaded=refuse))))
    assert rows[:, 0].tolist() == WHOLE
    assert f"{len(plan_shards(WORK, 16))} finished shards were taken" in caplog.text
