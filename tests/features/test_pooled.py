from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.images.stored import store_features
from unfreeze.features import pooled
from unfreeze.paths import Paths
from unfreeze.records.test_scores import FeatureSample


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


# Thirty vectors of six numbers, of 4 bytes each.
@pytest.mark.parametrize("limit", [("MOST_IMAGES", 30), ("MOST_BYTES", 30 * 6 * 4)])
@pytest.mark.parametrize("views", [1, 2])
def test_of_too_many_images_a_sample_of_whole_groups_is_read(
    tmp_path: Path, views: int, limit: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    store_features(Paths(tmp_path), images=80, views=views)
    every = pooled.read(Paths(tmp_path), "b")
    monkeypatch.setattr(pooled, *limit)
    some, again = pooled.read(Paths(tmp_path), "b"), pooled.read(Paths(tmp_path), "b")
    assert every is not None
    assert some is not None
    assert again is not None
    assert len(some) == 30
    assert some.fold_sizes == every.fold_sizes == {"train": 40, "val": 40}
    assert some.ids.tolist() == again.ids.tolist()
    assert pooled.describe_sample(some) == FeatureSample(images=30, of=80)
    assert pooled.describe_sample(every) is pooled.describe_sample(None) is None
    kept = every.take(np.isin(every.ids, some.ids))
    for part in ("vectors", "ids", "labels", "groups", "folds"):
        np.testing.assert_array_equal(getattr(some, part), getattr(kept, part))


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60).map(np.array),
    st.integers(1, 70),
    st.integers(0, 5),
)
def test_groups_are_drawn_whole_and_as_many_as_there_is_room_for(groups: np.ndarray, most: int, seed: int) -> None:
    drawn = pooled.draw_groups(groups, most, seed)
    assert drawn.any()
    inside, outside = set(groups[drawn].tolist()), set(groups[~drawn].tolist())
    assert not inside & outside
    assert drawn.sum() <= most or len(inside) == 1
    assert drawn.all() or len(groups) > most


@pytest.mark.parametrize("made", [{"stored": False}, {"position": 0}])
def test_pixels_or_nothing_cannot_be_pooled(tmp_path: Path, made: dict[str, int]) -> None:
    store_features(Paths(tmp_path), images=10, **made)
    assert pooled.read(Paths(tmp_path), "b") is None
