import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from unfreeze.features import feature_space

RANDOM = np.random.default_rng(0)


def test_known_spaces_have_their_dimensions() -> None:
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], "float32")
    assert feature_space.count_effective_dimensions(square) == pytest.approx(2)
    assert feature_space.count_effective_dimensions(square * [1, 0]) == pytest.approx(1)
    # Variances 4 and 1: (4 + 1)^2 / (16 + 1).
    assert feature_space.count_effective_dimensions(square * [2, 1]) == pytest.approx(25 / 17)
    assert feature_space.count_effective_dimensions(np.full((10, 7), 0.1, "float32")) == 0


@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(2, 40),
    channels=st.integers(1, 40),
    factor=st.floats(1e-3, 1e3),
    shift=st.floats(-10, 10),
)
def test_dimensions_are_those_of_the_eigenvalues(
    seed: int, images: int, channels: int, factor: float, shift: float
) -> None:
    features = np.random.default_rng(seed).normal(size=(images, channels))
    found = feature_space.count_effective_dimensions(features)
    values = np.linalg.eigvalsh(np.cov(features, rowvar=False).reshape(channels, channels))
    assert found == pytest.approx(values.sum() ** 2 / (values**2).sum())
    assert 1 - 1e-9 <= found <= min(images - 1, channels) + 1e-9
    assert feature_space.count_effective_dimensions(factor * features + shift) == pytest.approx(found, rel=1e-4)


def test_features_that_tell_classes_apart_are_found() -> None:
    labels = np.repeat([0, 1, 2], 60)
    features = RANDOM.normal(size=(180, 8)) + 4 * np.eye(8)[labels]
    skill = feature_space.measure_probe_skill(features, labels, np.arange(180), seed=0)
    assert skill is not None
    assert skill.accuracy > 0.95
    assert skill.majority == pytest.approx(1 / 3)
    assert skill.majority < skill.low < skill.accuracy <= skill.high <= 1


def test_noise_is_as_good_as_the_largest_class_and_no_better() -> None:
    labels = (np.arange(400) % 5 == 0).astype(int)
    skill = feature_space.measure_probe_skill(RANDOM.normal(size=(400, 8)), labels, np.arange(400), seed=0)
    assert skill is not None
    assert skill.majority == 0.8
    assert skill.accuracy == pytest.approx(0.8, abs=0.01)
    assert skill.low < skill.majority < skill.high


def test_of_many_images_each_class_gives_its_share() -> None:
    labels = np.repeat([0, 1, 2], [3000, 1500, 500])
    skill = feature_space.measure_probe_skill(RANDOM.normal(size=(5000, 2)), labels, np.arange(5000), seed=0)
    assert skill is not None
    assert skill.majority == pytest.approx(0.6)
    assert skill == feature_space.measure_probe_skill(
        RANDOM.normal(size=(5000, 2)) * 0 + 1, labels, np.arange(5000), seed=0
    )  # Neither says anything of the label, so both probes name the largest class.


def test_a_copy_of_an_image_is_no_help() -> None:
    labels = np.repeat(RANDOM.integers(0, 2, 100), 2)
    features = np.repeat(RANDOM.normal(size=(100, 200)), 2, axis=0)
    skill = feature_space.measure_probe_skill(features, labels, np.repeat(np.arange(100), 2), seed=0)
    assert skill is not None
    assert skill.accuracy < 0.7


def test_classes_too_small_for_a_probe_are_left_out() -> None:
    features = RANDOM.normal(size=(63, 4))
    labels = np.array([0] * 30 + [1] * 30 + [2] * 3)
    skill = feature_space.measure_probe_skill(features, labels, np.arange(63), seed=0)
    assert skill is not None
    assert skill.majority == 0.5
    assert feature_space.measure_probe_skill(features[30:], labels[30:], np.arange(33), seed=0) is None
