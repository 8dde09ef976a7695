from pathlib import Path

import numpy as np
import pytest

from tests.images.stored import store_features
from unfreeze.features import pooled
from unfreeze.paths import Paths


@pytest.mark.parametrize("views", [1, 2])
def test_each_image_has_the_mean_of_its_first_view_over_all_places(tmp_path: Path, views: int) -> None:
    activations = store_features(Paths(tmp_path), images=10, views=views)
    found = pooled.read(Paths(tmp_path), "b")
    assert found is not None
    assert found.vectors.dtype == np.float32
    assert np.allclose(found.vectors, activations.mean(axis=(1, 2)), atol=1e-2)
    assert found.ids.tolist() == [f"{number:03}.png" for number in range(10)]
    assert found.labels.tolist() == [0, 1] * 5
    assert found.folds.tolist() == ["train"] * 5 + ["val"] * 5
    assert found.groups[0] == found.groups[1] != found.groups[2]
    assert found.classes == ["cat", "dog"]


def test_a_fold_is_a_part_of_it(tmp_path: Path) -> None:
    store_features(Paths(tmp_path), images=10)
    found = pooled.read(Paths(tmp_path), "b")
    assert found is not None
    val = found.take_fold("val")
    assert (len(val), val.ids[0], val.vectors.shape) == (5, "005.png", (5, 6))


def test_copies_count_once_and_a_class_that_is_lacking_as_none(tmp_path: Path) -> None:
    store_features(Paths(tmp_path), images=10)
    found = pooled.read(Paths(tmp_path), "b")
    assert found is not None
    assert found.smallest_class == 5
    assert found.take(np.array([0, 1, 2])).smallest_class == 1
    assert found.take(found.labels == 0).smallest_class == 0


@pytest.mark.parametrize("made", [{"stored": False}, {"position": 0}])
def test_pixels_or_nothing_cannot_be_pooled(tmp_path: Path, made: dict[str, int]) -> None:
    store_features(Paths(tmp_path), images=10, **made)
    assert pooled.read(Paths(tmp_path), "b") is None
