import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.conftest import SETTINGS
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.features import cache
from unfreeze.features.plan import Fold, Plan

PLAN = Plan(
    position=3,
    row_shape=(3,),
    dtype="float16",
    train=Fold(np.array([0, 1, 2, 3]), np.array([0, 1, 0, 1]), np.ones(4)),
    val=Fold(np.array([4, 5]), np.array([1, 0]), np.ones(2)),
    classes=2,
    determined_by={"images": "a" * 64, "weights": "b" * 64},
    settings=SETTINGS,
)
ROWS = np.arange(18, dtype="float16").reshape(6, 3)

# Takes a path; writes five rows, says so, and waits to be killed.
SLOW_WRITER = """
import sys, time
from pathlib import Path
from tests.features.test_cache import PLAN, ROWS, cache
with cache.open_writer(Path(sys.argv[1]), PLAN, *map(int, sys.argv[2:])) as writer:
    for row in ROWS[writer.done:5]:
        writer.append(row[None])
    print("written", flush=True)
    time.sleep(600)
"""


# Room for two rows, and less than for three.
TWO_ROWS = 15


def write(path: Path, plan: Plan = PLAN, max_file_bytes: int | None = None) -> None:
    with cache.open_writer(path, plan, max_file_bytes) as writer:
        for row in ROWS[writer.done :]:
            writer.append(row[None])


def all_rows(read: cache.Features) -> list[list[float]]:
    return np.concatenate(list(read.iterate_batches())).tolist()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    read = cache.read(tmp_path / "x.h5", PLAN.determined_by)
    assert read.plan.is_same_as(PLAN)
    assert read.train is not None and read.val is not None
    assert (len(read.train), read.train.stored.row_bytes, len(read.val)) == (4, 6, 2)
    assert [batch.tolist() for batch in read.train.iterate_batches(3)] == [ROWS[:3].tolist(), ROWS[3:4].tolist()]
    assert read.train.labels.tolist() == [0, 1, 0, 1]
    assert all_rows(read) == ROWS.tolist()


def read_folder(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.mark.parametrize("max_file_bytes", [None, TWO_ROWS])
def test_the_same_rows_give_the_same_bytes_however_often_it_was_stopped(
    tmp_path: Path, max_file_bytes: int | None
) -> None:
    write(tmp_path / "whole.h5", max_file_bytes=max_file_bytes)
    # HDF5 may keep times, in whole seconds.
    time.sleep(1.1)
    for stop in (1, 4, 5):
        with (
            pytest.raises(KeyboardInterrupt),
            cache.open_writer(tmp_path / "parts.h5", PLAN, max_file_bytes) as writer,
        ):
            for row in ROWS[writer.done : stop]:
                writer.append(row[None])
            raise KeyboardInterrupt
        assert not (tmp_path / "parts.h5").exists()
    write(tmp_path / "parts.h5", max_file_bytes=max_file_bytes)
    assert (tmp_path / "parts.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    names = ["parts.h5", "whole.h5"]
    if max_file_bytes:
        names += ["parts.shards", "whole.shards"]
        assert read_folder(tmp_path / "parts.shards") == read_folder(tmp_path / "whole.shards")
        assert len(read_folder(tmp_path / "whole.shards")) == 3 + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


@pytest.mark.parametrize("max_file_bytes", [None, TWO_ROWS])
def test_a_killed_writer_is_gone_on_with(tmp_path: Path, max_file_bytes: int | None) -> None:
    project = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{project}:{project / 'src'}"}
    path = tmp_path / "x.h5"
    command = [sys.executable, "-c", SLOW_WRITER, path, *([str(max_file_bytes)] if max_file_bytes else [])]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "written\n"
        os.kill(running.pid, signal.SIGKILL)
    assert not path.exists()
    with cache.open_writer(path, PLAN, max_file_bytes) as writer:
        assert writer.done == 5
        writer.append(ROWS[5:])
    assert all_rows(cache.read(path, {})) == ROWS.tolist()


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, determined_by={**PLAN.determined_by, "weights": "c" * 64}),
        replace(PLAN, train=Fold(np.array([0, 1]), np.array([0, 1]), np.ones(2))),
        replace(PLAN, train=Fold(PLAN.train.images, np.array([1, 1, 0, 1]), np.ones(4))),
        replace(PLAN, val=Fold(np.array([5, 4]), PLAN.val.labels, np.ones(2))),
        replace(PLAN, val=Fold(PLAN.val.images, PLAN.val.labels, np.array([1.0, 2.0]))),
        replace(PLAN, dtype="float32"),
        replace(PLAN, settings=SETTINGS.model_copy(update={"seed": 1})),
        replace(PLAN, row_shape=(1, 3)),
    ],
)
def test_what_was_begun_for_other_settings_is_not_gone_on_with(tmp_path: Path, other: Plan) -> None:
    with pytest.raises(KeyboardInterrupt), cache.open_writer(tmp_path / "x.h5", other) as writer:
        writer.append(np.full((1, *other.row_shape), 7))
        raise KeyboardInterrupt
    with cache.open_writer(tmp_path / "x.h5", PLAN) as writer:
        assert writer.done == 0
        writer.append(ROWS[:4])
        writer.append(ROWS[4:])
    assert all_rows(cache.read(tmp_path / "x.h5", {})) == ROWS.tolist()


@pytest.mark.parametrize("how", ["another size of files", "a shard file is lost"])
def test_shard_files_of_which_the_begun_ones_do_not_fit_are_begun_anew(tmp_path: Path, how: str) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        cache.open_writer(tmp_path / "x.h5", PLAN, 18 if how == "another size of files" else TWO_ROWS) as writer,
    ):
        writer.append(ROWS[:1] + 5)
        raise KeyboardInterrupt
    if how == "a shard file is lost":
        (tmp_path / ".partial-x.shards/00002.rows").unlink()
    write(tmp_path / "x.h5", max_file_bytes=TWO_ROWS)
    assert all_rows(cache.read(tmp_path / "x.h5", {})) == ROWS.tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.h5", "x.shards"]


@pytest.mark.parametrize("how", ["missing", "damaged", "of another run"])
def test_a_cache_whose_shard_file_is_not_its_own_is_refused(tmp_path: Path, how: str) -> None:
    write(tmp_path / "x.h5", max_file_bytes=TWO_ROWS)
    path = tmp_path / "x.shards/00001.rows"
    if how == "missing":
        path.unlink()
    elif how == "damaged":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    else:
        with cache.open_writer(tmp_path / "y.h5", PLAN, TWO_ROWS) as writer:
            writer.append(ROWS[::-1])
        (tmp_path / "y.shards/00001.rows").replace(path)
    with pytest.raises(
        UnfreezeError, match=r"x.shards/00001.rows is (missing|damaged or of ano).*run `dvc repro` ag"
    ):
        cache.read(tmp_path / "x.h5", {})


def test_a_damaged_partial_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".partial-x.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    write(tmp_path / "x.h5")
    assert all_rows(cache.read(tmp_path / "x.h5", {})) == ROWS.tolist()


def test_a_cache_with_missing_rows_gets_no_name(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="got 2 rows, expected 6"), cache.open_writer(tmp_path / "x.h5", PLAN) as w:
        w.append(ROWS[:2])
    assert not (tmp_path / "x.h5").exists()


def test_a_cache_of_other_weights_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    with pytest.raises(UnfreezeError, match=r"x.h5 was made from other weights \(bbb.*delete it and run `dvc repro`"):
        cache.read(tmp_path / "x.h5", {"weights": "d" * 64})


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    whole = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnfreezeError, match=r"x.h5 is damaged"):
        cache.read(tmp_path / "x.h5", {})


def test_a_file_under_its_name_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as store:
        store["done"][()] = 4
    with pytest.raises(UnfreezeError, match=r"x.h5 holds 4 rows, expected 6: delete it"):
        cache.read(tmp_path / "x.h5", {})


def test_another_kind_of_hdf5_file_is_damaged(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as store:
        store["images"] = [1, 2]
    with pytest.raises(UnfreezeError, match=r"x.h5 is damaged"):
        cache.read(tmp_path / "x.h5", {})


def test_nothing_stored_takes_no_room(tmp_path: Path) -> None:
    plan = replace(PLAN, stored=False)
    assert (plan.nbytes, PLAN.nbytes) == (0, 36)
    with cache.open_writer(tmp_path / "x.h5", plan):
        pass
    read = cache.read(tmp_path / "x.h5", {})
    assert read.plan.is_same_as(plan)
    assert (read.train, read.val, list(read.iterate_batches())) == (None, None, [])


@pytest.mark.parametrize("max_file_bytes", [None, 5_000_000])
def test_the_disk_is_taken_before_the_first_row(tmp_path: Path, max_file_bytes: int | None) -> None:
    plan = replace(PLAN, row_shape=(1000, 1000))
    with pytest.raises(KeyboardInterrupt), cache.open_writer(tmp_path / "x.h5", plan, max_file_bytes):
        raise KeyboardInterrupt
    taken = [file.stat().st_blocks * 512 for file in tmp_path.rglob("*") if file.is_file()]
    assert sum(taken) >= plan.nbytes == 12_000_000
    assert len(taken) == (4 if max_file_bytes else 1)


def test_the_room_is_the_limit_or_what_the_disk_has_for_two_copies(tmp_path: Path) -> None:
    assert cache.measure_room(tmp_path / "new/x.h5", 0.001, copies=2) == 1_000_000
    free = shutil.disk_usage(tmp_path).free
    assert free / 2.1 < cache.measure_room(tmp_path / "x.h5", 1e9, copies=2) < free / 1.9
    assert free / 1.1 < cache.measure_room(tmp_path / "x.h5", 1e9, copies=1) < free / 0.9


@pytest.mark.parametrize("max_file_bytes", [None, 5_000_000])
def test_what_an_interrupted_run_has_taken_counts_as_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_file_bytes: int | None
) -> None:
    plan = replace(PLAN, row_shape=(1000, 1000))
    with pytest.raises(KeyboardInterrupt), cache.open_writer(tmp_path / "x.h5", plan, max_file_bytes):
        raise KeyboardInterrupt
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=13_000_000))
    assert cache.measure_room(tmp_path / "x.h5", 1, copies=2) >= plan.nbytes == 12_000_000
    assert cache.measure_room(tmp_path / "y.h5", 1, copies=2) == 6_500_000


def test_numbers_too_large_for_half_precision_end_the_run(tmp_path: Path) -> None:
    with (
        pytest.raises(UnfreezeError, match=r"of up to 7e\+04 do not fit into float16: set extract.dtype=float32"),
        cache.open_writer(tmp_path / "x.h5", PLAN) as writer,
    ):
        writer.append(np.array([[1, 70_000, 2]], "float32"))
    assert not (tmp_path / "x.h5").exists()


def test_a_cache_that_another_process_writes_is_left_to_it(tmp_path: Path) -> None:
    with cache.open_writer(tmp_path / "x.h5", PLAN) as writer:
        writer.append(ROWS[:4])
        second = subprocess.run(
            [sys.executable, "-c", SLOW_WRITER, tmp_path / "x.h5"],
            env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parents[2] / 'src'}"},
            capture_output=True,
            text=True,
            check=False,
        )
        writer.append(ROWS[4:])
    assert "is being written by another process: let that one end first" in second.stderr
    assert all_rows(cache.read(tmp_path / "x.h5", {})) == ROWS.tolist()


@settings(max_examples=60)
@given(position=st.integers(0, 3000), byte=st.integers(0, 255))
@example(position=696, byte=0)
def test_any_damaged_byte_is_refused_or_does_not_matter(position: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        write(path)
        content = bytearray(path.read_bytes())
        content[position % len(content)] = byte
        path.write_bytes(content)
        partial = files.name_partial(path)
        partial.write_bytes(content)
        with contextlib.suppress(UnfreezeError):
            cache.read(path, PLAN.determined_by)
        # What cannot be gone on with is begun anew.
        write(path)
        assert cache.read(path, PLAN.determined_by).plan.is_same_as(PLAN)


@settings(max_examples=30)
@given(
    rows=arrays("float16", st.tuples(st.integers(2, 9), st.integers(1, 5)), elements=st.floats(-9, 9, width=16)),
    size=st.integers(1, 10),
    max_file_bytes=st.none() | st.integers(1, 90),
    data=st.data(),
)
def test_rows_come_back_as_they_were_in_any_batches(
    rows: np.ndarray, size: int, max_file_bytes: int | None, data: st.DataObject
) -> None:
    first = data.draw(st.integers(1, len(rows) - 1))
    numbers = np.arange(len(rows))
    plan = replace(
        PLAN,
        row_shape=rows.shape[1:],
        train=Fold(numbers[:first], numbers[:first], np.ones(first)),
        val=Fold(numbers[first:], numbers[first:], np.ones(len(numbers) - first)),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        with cache.open_writer(path, plan, max_file_bytes) as writer:
            for start in range(0, len(rows), size):
                writer.append(rows[start : start + size])
        read = cache.read(path, {})
        assert read.train is not None
        assert np.array_equal(np.concatenate(list(read.train.iterate_batches(size))), rows[:first])
        assert all_rows(read) == rows.tolist()
