from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from tests.conftest import processor_time
from unfreeze.evaluation import calibration, intervals, scores
from unfreeze.evaluation.class_scores import score_classes
from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.metric_registry import score_metrics
from unfreeze.records.interval import Interval
from unfreeze.records.verdict import ClassScores

SCORES = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "auc", "calibration_error"]


@dataclass(frozen=True)
class Scored:
    """Metrics and scores of classes with their intervals."""

    scores: dict[str, Any]
    classes: dict[str, Any]


def scored(
    labels: np.ndarray, probabilities: np.ndarray, classes: list[str], *, seed: int, resamples: int = 2000
) -> Scored:
    fold = Fold(labels, probabilities, classes, seed=seed, resamples=resamples)
    return Scored(score_metrics(fold), score_classes(fold))


def tuples(interval: Interval | None) -> tuple[float, float, float]:
    assert interval is not None
    return interval.value, interval.low, interval.high


def simulated(labels: np.ndarray, classes: int, strength: float, seed: int = 0) -> np.ndarray:
    """Return probabilities of a classifier; the stronger, the more often right."""
    votes = np.random.default_rng(seed).normal(size=(len(labels), classes))
    votes[np.arange(len(labels)), labels] += strength
    return np.exp(votes) / np.exp(votes).sum(axis=1, keepdims=True)


def coverage(interval: Callable[..., Interval], sizes: list[int], recalls: list[float], truth: float) -> float:
    """Return in which share of 2,000 folds the interval of what is right holds the truth."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    held = 0
    for seed in range(2000):
        found = interval(rng.random(len(labels)) < np.repeat(recalls, sizes), labels, seed=seed, resamples=1000)
        held += found.low <= truth + 1e-9 and truth - 1e-9 <= found.high
    return held / 2000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "recalls"),
    [([400, 400], [0.985, 0.985]), ([400, 400], [0.9, 0.9]), ([400, 400], [0.6, 0.6]), ([700, 100], [0.99, 0.8])],
)
def test_the_interval_of_accuracy_holds_the_truth_in_95_of_100_folds(sizes: list[int], recalls: list[float]) -> None:
    truth = float(np.average(recalls, weights=sizes))
    assert 0.93 <= coverage(intervals.estimate_accuracy, sizes, recalls, truth) <= 0.97


@pytest.mark.slow
def test_the_interval_of_balanced_accuracy_holds_the_truth_though_a_class_is_small() -> None:
    truth = (0.6 + 0.9 + 0.95) / 3
    found = coverage(intervals.estimate_balanced_accuracy, [30, 300, 470], [0.6, 0.9, 0.95], truth)
    assert 0.93 <= found <= 0.97


def test_the_interval_of_a_difference_holds_the_truth() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(800) % 2
    held = 0
    for seed in range(1000):
        both, chance = rng.random(800) < 0.9, rng.random(800)
        first, second = (both | (chance < 0.05)) & (chance < 0.98), (both & (chance >= 0.05)) | (chance >= 0.98)
        found = intervals.estimate_difference(labels, first, second, seed=seed, resamples=500)
        held += found.low <= 0.03 <= found.high
    assert 0.93 <= held / 1000 <= 0.97


def test_scores_have_their_value_within_their_interval() -> None:
    labels = np.arange(300) % 3
    probabilities = simulated(labels, 3, 2.0)
    found = scored(labels, probabilities, list("abc"), seed=0)
    values = scores.score(labels, probabilities, list("abc"))
    assert list(found.scores) == SCORES
    for name in ("accuracy", "balanced_accuracy", "log_loss", "auc"):
        assert found.scores[name].value == pytest.approx(getattr(values, name))
    assert found.scores["macro_f1"].value == values.macro.f1
    error = calibration.compute_calibration_error(labels, probabilities)
    assert found.scores["calibration_error"].value == error
    for interval in found.scores.values():
        assert interval.low < interval.value < interval.high
    assert {name: of_class.support for name, of_class in found.classes.items()} == {
        "a": 100,
        "b": 100,
        "c": 100,
    }
    for name, of_class in found.classes.items():
        for key in ("precision", "recall", "f1"):
            interval = getattr(of_class, key)
            assert interval.value == getattr(values.classes[name], key)
            assert interval.low < interval.value < interval.high


def test_the_same_seed_gives_the_same_interval() -> None:
    labels = np.arange(100) % 2
    probabilities = simulated(labels, 2, 1.0)
    first, again, other = (scored(labels, probabilities, ["a", "b"], seed=seed, resamples=200) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "sizes"), [(2, [250, 50]), (4, [100, 50, 120, 30])])
def test_intervals_agree_with_a_plain_bootstrap_by_scikit_learn(classes: int, sizes: list[int]) -> None:
    labels = np.repeat(np.arange(classes), sizes)
    probabilities = simulated(labels, classes, 1.5)
    # A tie of two images, and of all those whose probability is rounded.
    probabilities = np.round(probabilities, 2)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    names = list("abcd")[:classes]
    found = scored(labels, probabilities, names, seed=0)
    rng = np.random.default_rng(1)
    plain: dict[str, list[float]] = {name: [] for name in SCORES[:5]}
    for _ in range(400):
        rows = np.concatenate(
            [rng.choice(np.flatnonzero(labels == number), size) for number, size in enumerate(sizes)]
        )
        drawn, answers = labels[rows], probabilities[rows]
        predicted = answers.argmax(axis=1)
        plain["accuracy"].append(metrics.accuracy_score(drawn, predicted))
        plain["balanced_accuracy"].append(metrics.balanced_accuracy_score(drawn, predicted))
        plain["macro_f1"].append(metrics.f1_score(drawn, predicted, average="macro"))
        plain["log_loss"].append(metrics.log_loss(drawn, answers, labels=range(classes)))
        shown = answers[:, 1] if classes == 2 else answers
        plain["auc"].append(metrics.roc_auc_score(drawn, shown, multi_class="ovr"))
    for name, resampled in plain.items():
        width = np.std(resampled) * 2 * 1.96
        interval = found.scores[name]
        assert interval.high - interval.low == pytest.approx(width, rel=0.15), name
        assert interval.low == pytest.approx(np.quantile(resampled, 0.025), abs=0.2 * width), name


def test_a_perfect_classifier_has_the_exact_limits() -> None:
    labels = np.arange(40) % 2
    found = scored(labels, np.eye(2)[labels], ["cat", "dog"], seed=0)
    low, _ = proportion_confint(40, 40, method="beta")
    assert tuples(found.scores["accuracy"]) == (1, pytest.approx(low), 1)
    low, _ = proportion_confint(20, 20, method="beta")
    for key in ("precision", "recall"):
        assert tuples(getattr(found.classes["cat"], key)) == (1, pytest.approx(low), 1)
    for name in ("balanced_accuracy", "macro_f1", "auc"):
        assert found.scores[name].high == 1
        assert 0.8 < found.scores[name].low < 0.95
    assert found.scores["calibration_error"].high > 0.05
    assert found.scores["log_loss"].high > 1


def test_a_classifier_that_is_never_right_has_the_exact_limits() -> None:
    labels = np.arange(40) % 2
    _, high = proportion_confint(0, 40, method="beta")
    found = intervals.estimate_accuracy(np.zeros(40, bool), labels, seed=0)
    assert tuples(found) == (0, 0, pytest.approx(high))


def test_one_mistake_never_gives_a_narrower_interval_than_none() -> None:
    labels = np.arange(800) % 2
    none = intervals.estimate_accuracy(np.ones(800, bool), labels, seed=0)
    one = intervals.estimate_accuracy(np.arange(800) > 0, labels, seed=0)
    assert one.low < none.low


def test_a_constant_classifier_has_intervals_that_are_not_empty() -> None:
    labels = np.arange(40) % 2
    found = scored(labels, np.tile([0.9, 0.1], (40, 1)), ["cat", "dog"], seed=0)
    for name, interval in found.scores.items():
        assert interval.low < interval.value < interval.high, name
    assert found.scores["auc"].value == 0.5
    # Nothing was called a dog, so how many of those would be dogs is unknown.
    assert tuples(found.classes["dog"].precision) == (0, 0, 1)
    assert found.classes["dog"].recall.value == 0


def test_a_class_that_the_fold_lacks_has_no_interval() -> None:
    labels = np.arange(40) % 2 * 2
    found = scored(labels, simulated(labels, 3, 2.0), ["cat", "dog", "fox"], seed=0)
    assert found.classes["dog"] == ClassScores(precision=None, recall=None, f1=None, support=0)
    assert found.scores["balanced_accuracy"].low > 0.3


def test_a_fold_of_one_class_has_no_auc() -> None:
    labels = np.zeros(40, int)
    found = scored(labels, simulated(labels, 2, 1.0), ["cat", "dog"], seed=0)
    assert found.scores["auc"] is None
    assert found.scores["accuracy"].low < found.scores["accuracy"].high


@pytest.mark.parametrize("classes", [2, 3, 200])
def test_one_image_a_class_still_has_intervals(classes: int) -> None:
    labels = np.arange(classes)
    names = [f"class {number}" for number in labels]
    found = scored(labels, simulated(labels, classes, 3.0), names, seed=0)
    for name, interval in found.scores.items():
        assert interval.low <= interval.value <= interval.high, name
        assert interval.low < interval.high, name


def test_a_class_of_one_image_beside_a_large_one_is_not_taken_for_certain() -> None:
    labels = np.array([0] * 99 + [1])
    found = scored(labels, simulated(labels, 2, 3.0), ["cat", "dog"], seed=0)
    assert found.scores["balanced_accuracy"].low < 0.6
    assert found.scores["auc"].low < 0.7


def test_classifiers_that_agree_on_all_images_differ_by_nothing_give_or_take_a_few() -> None:
    correct = np.arange(800) % 10 > 0
    found = intervals.estimate_difference(np.arange(800) % 2, correct, correct, seed=0)
    assert found.value == 0
    assert found.high == -found.low == pytest.approx(3 / 800, rel=0.01)


@pytest.mark.slow
def test_ten_times_the_images_take_about_ten_times_as_long() -> None:
    def take(images: int) -> float:
        labels = np.arange(images) % 2
        return processor_time(lambda: scored(labels, simulated(labels, 2, 2.0), ["cat", "dog"], seed=0))

    take(1_000)
    assert take(20_000) < 40 * take(2_000)
