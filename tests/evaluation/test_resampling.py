import numpy as np
import pytest

from unfreeze.evaluation import resampling

LABELS = np.array([0, 2, 0, 0, 2, 5, 7])


def test_images_of_each_kind_are_counted_by_class() -> None:
    kinds = np.array([[1, 1, 0, 1, 0, 0, 1], [0, 0, 1, 0, 1, 1, 0]], bool)
    assert resampling.count_by_class(kinds, LABELS).tolist() == [[2, 1], [1, 1], [0, 1], [1, 0]]


def test_classes_keep_their_size_in_every_resample() -> None:
    weights = resampling.resample_weights(LABELS, np.random.default_rng(0), 500)
    assert weights.shape == (500, 7)
    np.testing.assert_allclose(weights[:, LABELS == 0].sum(axis=1), 3)
    np.testing.assert_allclose(weights[:, LABELS == 2].sum(axis=1), 2)
    # Classes of one image share their draws.
    np.testing.assert_allclose(weights[:, 5:].sum(axis=1), 2)
    assert set(weights[:, 5]) == {0, 2}
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.15)


@pytest.mark.parametrize("size", [2, 5, 50])
def test_a_small_class_varies_as_much_as_its_mean_does(size: int) -> None:
    values = np.arange(size) % 2
    labels = np.zeros(size, int)
    expected = values.var(ddof=1) / size
    means = resampling.resample_weights(labels, np.random.default_rng(0), 20_000) @ values / size
    assert means.var() == pytest.approx(expected, rel=0.05)
    counts = resampling.count_by_class(np.stack([values == 1, values == 0]), labels)
    shares = resampling.resample_shares(counts, np.zeros(2), np.random.default_rng(0), 20_000)
    assert shares[:, 0, 0].var() == pytest.approx(expected, rel=0.05)
    np.testing.assert_allclose(shares.sum(axis=2), 1)


def test_a_class_of_equal_images_varies_by_what_is_counted_beside() -> None:
    counts = np.array([[20, 0]])
    assert np.ptp(resampling.resample_shares(counts, np.zeros(2), np.random.default_rng(0), 100)[..., 0]) == 0
    smoothed = resampling.resample_shares(counts, np.ones(2), np.random.default_rng(0), 20_000)[..., 0]
    assert smoothed.mean() == pytest.approx(21 / 22, abs=0.001)


def test_classes_of_one_image_are_drawn_from_each_other() -> None:
    counts = np.array([[1, 0], [0, 1], [1, 0], [1, 0]])
    shares = resampling.resample_shares(counts, np.zeros(2), np.random.default_rng(0), 10_000)[..., 0]
    np.testing.assert_allclose(shares.mean(axis=0), 0.75, atol=0.02)
