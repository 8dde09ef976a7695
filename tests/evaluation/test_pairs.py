from itertools import combinations

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from unfreeze.evaluation import pairs


def answers(labels: np.ndarray, right: int) -> np.ndarray:
    """Return predictions of two classes of which the first so many are right."""
    return np.where(np.arange(len(labels)) < right, labels, 1 - labels)


LABELS = np.arange(200) % 2


def test_p_values_agree_with_statsmodels() -> None:
    counts = np.array([[0, 0], [5, 0], [30, 10], [12, 12], [7, 9]])
    expected = [mcnemar([[50, first], [second, 3]], exact=True).pvalue for first, second in counts]
    assert pairs.compute_p_values(counts[:, 0], counts[:, 1]) == pytest.approx(expected)


def test_holms_adjustment_agrees_with_statsmodels() -> None:
    rng = np.random.default_rng(0)
    for p_values in (np.array([0.3]), np.array([0.02, 0.02, 1.0, 0.0]), rng.random(15) ** 3):
        np.testing.assert_allclose(pairs.adjust_p_values(p_values), multipletests(p_values, method="holm")[1])


def test_three_classifiers_make_three_pairs_with_holms_adjustment() -> None:
    predicted = {"good": answers(LABELS, 190), "fair": answers(LABELS, 180), "poor": answers(LABELS, 178)}
    result = pairs.compare_pairs(LABELS, predicted, seed=0)
    assert [(pair.first, pair.second) for pair in result] == [
        ("good", "fair"), ("good", "poor"), ("fair", "poor"),
    ]  # fmt: skip
    assert [(pair.only_first, pair.only_second) for pair in result] == [(10, 0), (12, 0), (2, 0)]
    # Two-sided: 2 / 2**10, 2 / 2**12, 2 / 2**2. Holm: the least times 3, the next times 2, the last times 1.
    assert [pair.p_value for pair in result] == pytest.approx([2**-9, 2**-11, 0.5])
    assert [pair.adjusted_p_value for pair in result] == pytest.approx([2 * 2**-9, 3 * 2**-11, 0.5])
    assert [pair.significant for pair in result] == [True, True, False]
    assert result[0].difference.value == pytest.approx(0.05)
    assert 0 < result[0].difference.low < 0.05 < result[0].difference.high


def test_a_classifier_compared_with_itself_is_no_better() -> None:
    same = answers(LABELS, 190)
    (pair,) = pairs.compare_pairs(LABELS, {"one": same, "other": same}, seed=0)
    assert (pair.p_value, pair.adjusted_p_value, pair.significant) == (1, 1, False)
    assert pair.difference.value == 0
    assert pair.difference.low < 0 < pair.difference.high


def test_one_classifier_makes_no_pair() -> None:
    assert pairs.compare_pairs(LABELS, {"alone": answers(LABELS, 190)}, seed=0) == []
    assert pairs.measure_discordant_share(LABELS, {"alone": answers(LABELS, 180)}) == pytest.approx(2 * 0.9 * 0.1)


def test_the_discordant_share_is_the_median_over_pairs() -> None:
    predicted = {"a": answers(LABELS, 200), "b": answers(LABELS, 190), "c": answers(LABELS, 160)}
    assert pairs.measure_discordant_share(LABELS, predicted) == pytest.approx(0.15)


@pytest.mark.slow
def test_equal_classifiers_raise_few_false_alarms() -> None:
    """Six equal classifiers whose mistakes go together, 1,000 times: at most 6 % of studies find any difference."""
    rng = np.random.default_rng(0)
    labels = np.arange(800) % 2
    alarms = 0
    for _ in range(1000):
        strength = np.sqrt(0.6) * rng.normal(size=800) + np.sqrt(0.4) * rng.normal(size=(6, 800))
        predicted = {f"m{number}": np.where(row > -1.28, labels, 1 - labels) for number, row in enumerate(strength)}
        alarms += any(pair.significant for pair in pairs.compare_pairs(labels, predicted, seed=0, resamples=2))
    assert alarms / 1000 <= 0.06


@pytest.mark.parametrize(("images", "discordant", "compared"), [(800, 0.1, 15), (800, 0.03, 1), (3000, 0.2, 6)])
def test_the_smallest_difference_is_found_four_times_in_five(images: int, discordant: float, compared: int) -> None:
    gap = pairs.find_smallest_difference(images, discordant, pairs=compared)
    shares = [(discordant + gap) / 2, (discordant - gap) / 2, 1 - discordant]
    first, second, _ = np.random.default_rng(0).multinomial(images, shares, 4000).T
    power = (pairs.compute_p_values(first, second) <= 0.05 / compared).mean()
    assert 0.7 <= power <= 0.9
    # Connor's normal approximation of the images that are needed, which the exact test exceeds a little.
    spread = norm.isf(0.025 / compared) * discordant**0.5 + norm.isf(0.2) * (discordant - gap**2) ** 0.5
    assert 0.75 <= (spread / gap) ** 2 / images <= 1.0


def test_a_smaller_fold_or_more_pairs_find_only_larger_differences() -> None:
    gaps = [pairs.find_smallest_difference(images, 0.1, pairs=1) for images in (200, 800, 3200)]
    assert gaps[0] > gaps[1] > gaps[2]
    assert pairs.find_smallest_difference(800, 0.1, pairs=15) > gaps[1]
    assert pairs.find_smallest_difference(800, 0.1, pairs=0) == gaps[1]


def test_classifiers_that_never_differ_would_have_to_differ_first() -> None:
    # All discordant images on one side: 6 of them are significant (2 / 2**6 < 0.05), and 8 are expected to be enough.
    assert pairs.find_smallest_difference(800, 0.0, pairs=1) == pytest.approx(8 / 800, rel=0.1)


def test_a_tiny_fold_finds_nothing() -> None:
    assert pairs.find_smallest_difference(5, 0.5, pairs=1) == 1


def test_all_pairs_are_compared() -> None:
    predicted = {name: answers(LABELS, right) for name, right in zip("abcd", (190, 185, 180, 175), strict=True)}
    found = pairs.compare_pairs(LABELS, predicted, seed=0)
    assert [(pair.first, pair.second) for pair in found] == list(combinations("abcd", 2))
