from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import compose
from unfreeze.data import store
from unfreeze.paths import Paths
from unfreeze.stages.extract import pixel_batches, statistics


@pytest.mark.parametrize("done", [0, 4, 7, 11, 14, 16])
def test_going_on_gives_the_batches_that_were_missing(
    tmp_path: Path, make_images: Callable[..., Path], done: int
) -> None:
    paths = Paths(tmp_path)
    make_images(paths.raw, images=5)
    ids = [f"{label}/{number:03}.png" for label in ("blue", "red") for number in range(5)]
    labels = [name.split("/")[0] for name in ids]
    store.write(paths.images, paths.raw, ids, labels, size=16, manifest_sha256="")
    params = compose(tmp_path / "params.yaml", "augment.views=2", "augment.rotation=20", "extract.batch_size=4")
    train, val = [0, 1, 2, 3, 5, 6, 7], [4, 8]
    whole = np.concatenate(list(pixel_batches(paths, params, train, val, done=0)))
    assert len(whole) == 16
    assert not np.array_equal(whole[:7], whole[7:14]), "the second view is augmented"
    rest = list(pixel_batches(paths, params, train, val, done=done))
    assert np.array_equal(np.concatenate([whole[:done], *rest]), whole)


def test_statistics_tell_dead_and_infinite_rows() -> None:
    rows = np.array([[[1.0, 3.0]], [[0.0, 0.0]], [[np.inf, 1.0]]], dtype="float16")
    table = statistics(iter([rows[:2], rows[2:]]))
    assert table["row"].tolist() == [0, 1, 2]
    assert table["mean"].tolist()[:2] == [2.0, 0.0]
    assert table["deviation"].tolist()[:2] == [1.0, 0.0]
    assert table["finite"].tolist() == [True, True, False]
