import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unfreeze.data import features
from unfreeze.errors import UnfreezeError

PLAN = features.Plan(
    position=3,
    row_shape=(3,),
    dtype="float16",
    train_labels=np.array([0, 1, 0, 1]),
    val_labels=np.array([1, 0]),
    classes=2,
    determined_by={"images": "a" * 64, "weights": "b" * 64},
)
ROWS = np.arange(18, dtype="float16").reshape(6, 3)

# Takes a path; writes a row every 20 ms until it is killed.
SLOW_WRITER = """
import sys, time
from pathlib import Path
from tests.data.test_features import PLAN, ROWS, features
with features.writing(Path(sys.argv[1]), PLAN) as writer:
    for row in ROWS[writer.done:5]:
        writer.append(row[None])
        time.sleep(0.02)
    time.sleep(60)
"""


def write(path: Path, plan: features.Plan = PLAN) -> None:
    with features.writing(path, plan) as writer:
        for row in ROWS[writer.done :]:
            writer.append(row[None])


class Doubling:
    def run_array(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype("float32") * 2


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    read = features.read(tmp_path / "x.h5", PLAN.determined_by)
    assert (read.position, read.classes) == (3, 2)
    assert np.array_equal(read.train, ROWS[:4])
    assert np.array_equal(read.val, ROWS[4:])
    assert read.train_labels.tolist() == [0, 1, 0, 1]
    assert read.val.dtype == np.float16
    assert np.array_equal(np.concatenate(list(features.batches(tmp_path / "x.h5"))), ROWS)


def test_the_same_rows_give_the_same_bytes_however_often_it_was_stopped(tmp_path: Path) -> None:
    write(tmp_path / "whole.h5")
    # HDF5 may keep times, in whole seconds.
    time.sleep(1.1)
    for stop in (1, 4, 5):
        with pytest.raises(KeyboardInterrupt), features.writing(tmp_path / "parts.h5", PLAN) as writer:
            for row in ROWS[writer.done : stop]:
                writer.append(row[None])
            raise KeyboardInterrupt
        assert not (tmp_path / "parts.h5").exists()
    write(tmp_path / "parts.h5")
    assert (tmp_path / "parts.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.h5", "whole.h5"]


def test_a_killed_writer_is_gone_on_with(tmp_path: Path) -> None:
    project = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    path = tmp_path / "x.h5"
    with subprocess.Popen([sys.executable, "-c", SLOW_WRITER, path], env=environment) as running:
        partial = tmp_path / ".partial-x.h5"
        while not partial.exists():
            assert running.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(running.pid, signal.SIGKILL)
    assert not path.exists()
    with features.writing(path, PLAN) as writer:
        assert writer.done == 5
        writer.append(ROWS[5:])
    assert np.array_equal(features.read(path, {}).train, ROWS[:4])


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, determined_by={**PLAN.determined_by, "weights": "c" * 64}),
        replace(PLAN, train_labels=np.array([0, 1])),
        replace(PLAN, row_shape=(1, 3)),
    ],
)
def test_what_was_begun_for_other_settings_is_not_gone_on_with(tmp_path: Path, other: features.Plan) -> None:
    with pytest.raises(KeyboardInterrupt), features.writing(tmp_path / "x.h5", other) as writer:
        writer.append(np.full((1, *other.row_shape), 7))
        raise KeyboardInterrupt
    with features.writing(tmp_path / "x.h5", PLAN) as writer:
        assert writer.done == 0
        writer.append(ROWS[:4])
        writer.append(ROWS[4:])
    assert np.array_equal(features.read(tmp_path / "x.h5", {}).train, ROWS[:4])


def test_a_damaged_partial_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".partial-x.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    write(tmp_path / "x.h5")
    assert np.array_equal(features.read(tmp_path / "x.h5", {}).val, ROWS[4:])


def test_a_cache_with_missing_rows_gets_no_name(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="got 2 rows, expected 6"), features.writing(tmp_path / "x.h5", PLAN) as w:
        w.append(ROWS[:2])
    assert not (tmp_path / "x.h5").exists()


def test_a_cache_of_other_weights_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    with pytest.raises(UnfreezeError, match=r"x.h5 was made from other weights \(bbb.*delete it and run `dvc repro`"):
        features.read(tmp_path / "x.h5", {"weights": "d" * 64})


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    whole = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnfreezeError, match=r"x.h5 is damaged"):
        features.read(tmp_path / "x.h5", {})


def test_more_frozen_layers_give_half_precision_at_the_new_position(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    stored = features.read(tmp_path / "x.h5", {})
    moved = stored.through(Doubling(), position=9)
    assert moved.position == 9
    assert moved.train.dtype == np.float16
    assert np.array_equal(moved.train, ROWS[:4] * 2)
    assert np.array_equal(moved.train_labels, stored.train_labels)
