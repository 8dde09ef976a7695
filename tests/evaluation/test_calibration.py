import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import softmax

from unfreeze.evaluation import calibration

COUNTS = arrays.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(2, 5)), elements=st.integers(0, 1000))


def probabilities_of(counts: np.ndarray) -> np.ndarray:
    counts = counts + (counts.sum(axis=1, keepdims=True) == 0)
    return counts / counts.sum(axis=1, keepdims=True)


def labels_of(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw labels that come as often as the probabilities say."""
    drawn = rng.random((len(probabilities), 1))
    return np.minimum((probabilities.cumsum(axis=1) < drawn).sum(axis=1), probabilities.shape[1] - 1)


def test_reliability_of_four_images() -> None:
    probabilities = np.array([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [0.5, 0.5]])
    labels = np.array([0, 1, 1, 1])
    table = calibration.compute_reliability(labels, probabilities, bins=5)
    assert table.columns.tolist() == ["low", "high", "images", "confidence", "accuracy"]
    assert table["images"].tolist() == [0, 0, 2, 0, 2]
    assert table["confidence"].tolist()[2::2] == pytest.approx([0.55, 0.925])
    assert table["accuracy"].tolist()[2::2] == [0.5, 0.5]
    assert table["confidence"].isna().tolist() == [True, True, False, True, False]
    assert (table["low"][4], table["high"][4]) == (0.8, 1.0)
    assert calibration.compute_calibration_error(labels, probabilities, bins=5) == pytest.approx((0.05 + 0.425) / 2)


def test_a_bin_holds_its_upper_edge() -> None:
    table = calibration.compute_reliability(np.array([0, 0]), np.array([[0.8, 0.2], [1.0, 0.0]]), bins=5)
    assert table["images"].tolist() == [0, 0, 0, 1, 1]


@given(COUNTS, st.integers(1, 30))
def test_every_image_is_in_one_bin(counts: np.ndarray, bins: int) -> None:
    probabilities = probabilities_of(counts)
    table = calibration.compute_reliability(np.zeros(len(counts), int), probabilities, bins=bins)
    assert len(table) == bins
    assert table["images"].sum() == len(counts)
    filled = table[table["images"] > 0]
    assert (filled["confidence"] <= filled["high"] + 1e-9).all()
    assert (filled["confidence"] > filled["low"] - 1e-9).all()


def test_perfect_predictions_have_no_calibration_error() -> None:
    labels = np.array([0, 1, 2])
    assert calibration.compute_calibration_error(labels, np.eye(3)) == 0
    assert calibration.fit_temperature(labels, np.eye(3)) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found_again(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4))
    labels = labels_of(softmax(logits, axis=1), rng)
    shown = softmax(logits * temperature, axis=1)
    found = calibration.fit_temperature(labels, shown)
    assert found == pytest.approx(temperature, rel=0.03)
    mended = calibration.apply_temperature(shown, found)
    assert calibration.compute_calibration_error(labels, mended) < 0.012
    if temperature != 1:
        assert calibration.compute_calibration_error(labels, shown) > 0.03


def test_right_probabilities_are_left_alone_in_19_of_20_folds() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (400, 300, 2))
    folds = [softmax(fold, axis=1) for fold in logits]
    found = np.array([calibration.fit_temperature(labels_of(fold, rng), fold) for fold in folds])
    assert 0.02 < (found != 1).mean() < 0.08


def test_even_probabilities_have_no_temperature() -> None:
    assert calibration.fit_temperature(np.array([0, 1, 1]), np.full((3, 2), 0.5)) == 1


def test_constant_predictions_are_cooled_to_what_is_true() -> None:
    labels = np.array([0] * 60 + [1] * 40)
    constant = np.tile([0.9, 0.1], (100, 1))
    mended = calibration.apply_temperature(constant, calibration.fit_temperature(labels, constant))
    np.testing.assert_allclose(mended[0], [0.6, 0.4], atol=1e-3)


def test_a_sure_mistake_costs_a_finite_loss() -> None:
    assert 0.05 <= calibration.fit_temperature(np.array([0, 1, 1]), np.eye(2)[[0, 1, 0]]) <= 20


@given(COUNTS, st.floats(0.05, 20))
def test_a_temperature_keeps_the_predicted_class_and_the_sum(counts: np.ndarray, temperature: float) -> None:
    probabilities = probabilities_of(counts)
    mended = calibration.apply_temperature(probabilities, temperature)
    np.testing.assert_allclose(mended.sum(axis=1), 1)
    assert (mended.argmax(axis=1) == probabilities.argmax(axis=1)).all()


@given(COUNTS)
def test_a_temperature_of_one_changes_nothing(counts: np.ndarray) -> None:
    probabilities = probabilities_of(counts)
    np.testing.assert_allclose(calibration.apply_temperature(probabilities, 1.0), probabilities, atol=1e-12)


@given(COUNTS, st.floats(0.1, 10))
def test_no_temperature_has_a_lower_loss_than_the_calibrated_one(counts: np.ndarray, temperature: float) -> None:
    probabilities = probabilities_of(counts)
    labels = np.arange(len(counts)) % counts.shape[1]
    weights = np.arange(1.0, len(labels) + 1)
    loss = calibration.measure_calibrated_loss(labels, probabilities, weights)
    at = calibration.apply_temperature(probabilities, temperature)[np.arange(len(labels)), labels]
    assert loss <= np.average(-np.log(np.clip(at, 1e-300, 1)), weights=weights) + 1e-3
