from pathlib import Path

import numpy as np
import pytest

from unfreeze.data import features
from unfreeze.errors import UnfreezeError

SOME = features.Features(
    position=3,
    train=np.arange(12, dtype="float16").reshape(4, 3),
    train_labels=np.array([0, 1, 0, 1]),
    val=np.ones((2, 3), "float16"),
    val_labels=np.array([1, 0]),
    classes=2,
    determined_by={"data": "a", "weights": "b"},
)


class Doubling:
    def run_array(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype("float32") * 2


def test_what_is_written_is_read(tmp_path: Path) -> None:
    features.write(tmp_path / "x.h5", SOME)
    read = features.read(tmp_path / "x.h5")
    assert (read.position, read.classes, read.determined_by) == (3, 2, {"data": "a", "weights": "b"})
    assert np.array_equal(read.train, SOME.train)
    assert read.train.dtype == np.float16


def test_more_frozen_layers_give_half_precision_at_the_new_position() -> None:
    moved = SOME.through(Doubling(), position=9)
    assert moved.position == 9
    assert moved.train.dtype == np.float16
    assert np.array_equal(moved.train, SOME.train * 2)
    assert np.array_equal(moved.train_labels, SOME.train_labels)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    features.write(tmp_path / "x.h5", SOME)
    whole = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnfreezeError, match=r"x.h5 is damaged"):
        features.read(tmp_path / "x.h5")
