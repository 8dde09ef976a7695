from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfreeze.evaluation import learning_curve
from unfreeze.features.pooled import Pooled
from unfreeze.records.interval import Interval

# Of three classes the last two are hard to tell apart.
CLASSES = ["ant", "bee", "wasp"]


def made(fold: str, labels: np.ndarray, *, apart: float, seed: int, groups: np.ndarray | None = None) -> Pooled:
    """Make features of which eight tell the classes apart and the rest is noise; `bee` and `wasp` lie near."""
    random = np.random.default_rng(seed)
    vectors = random.normal(0, 1, (len(labels), 100)).astype("float32")
    vectors[:, :4] += apart * np.array([2, 0, 0])[labels][:, None]
    vectors[:, 4:8] += apart * np.array([0, 0, 1])[labels][:, None]
    numbers = np.arange(len(labels))
    return Pooled(
        vectors=vectors,
        ids=numbers.astype(str).astype(object),
        labels=labels,
        groups=numbers if groups is None else groups,
        folds=np.full(len(labels), fold),
        classes=CLASSES,
        position=1,
        fold_sizes={fold: len(labels)},
    )


def folds(*, apart: float, images: int = 600) -> tuple[Pooled, Pooled]:
    return (
        made("train", np.arange(images) % 3, apart=apart, seed=1),
        made("val", np.arange(300) % 3, apart=apart, seed=2),
    )


@pytest.mark.slow
def test_a_task_that_is_not_learnt_yet_gains_from_more_images_most_where_classes_are_alike() -> None:
    curve = learning_curve.measure_learning_curve(*folds(apart=0.7), seed=0)
    assert curve is not None
    assert [point.images for point in curve.points] == [60, 120, 300, 420, 600]
    accuracies = [point.accuracy for point in curve.points]
    assert accuracies[-1] > accuracies[2] > accuracies[0]
    assert all(point.low < point.accuracy < point.high for point in curve.points)
    gain = curve.gain_from_doubling
    assert 0 < gain.low <= gain.value <= gain.high
    # What really comes of it.
    twice = learning_curve.measure_learning_curve(*folds(apart=0.7, images=1200), seed=0)
    assert twice is not None
    assert gain.low - 0.02 < twice.points[-1].accuracy - accuracies[-1] < gain.high + 0.02
    assert curve.neediest_class in {None, "bee", "wasp"}
    assert list(curve.classes) == CLASSES
    assert [point.images for point in curve.classes["bee"]] == [60, 120, 300, 420, 600]
    assert curve.text.startswith("Twice the images would bring about +")


def test_of_a_sample_it_tells_the_images_that_there_are() -> None:
    train, val = folds(apart=5)
    curve = learning_curve.measure_learning_curve(replace(train, fold_sizes={"train": 500_000}), val, seed=0)
    assert curve is not None
    assert "600 of 500,000 training images" in curve.text


def test_a_task_that_is_learnt_gains_nothing_and_is_still_not_certain() -> None:
    curve = learning_curve.measure_learning_curve(*folds(apart=5), seed=0)
    assert curve is not None
    assert curve.points[-1].accuracy == 1
    assert 0.97 < curve.points[-1].low < 1
    assert curve.gain_from_doubling.high < 0.005
    assert curve.neediest_class is None
    assert curve.text.startswith("More images of this kind would hardly help")


@pytest.mark.slow
def test_features_that_say_nothing_promise_nothing() -> None:
    curve = learning_curve.measure_learning_curve(*folds(apart=0), seed=0)
    assert curve is not None
    assert curve.gain_from_doubling.low < 0.005
    assert curve.neediest_class is None


@pytest.mark.slow
def test_a_seed_gives_the_same_curve_again() -> None:
    train, val = folds(apart=0.5, images=150)
    first, again, other = (learning_curve.measure_learning_curve(train, val, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


def test_a_class_with_too_few_images_that_differ_gives_no_curve() -> None:
    _, val = folds(apart=1)
    few = np.repeat([0, 1, 2], (60, 60, 19))
    assert learning_curve.measure_learning_curve(made("train", few, apart=1, seed=1), val, seed=0) is None
    # Sixty images of a class are few where they are copies of ten.
    copies = made("train", np.arange(180) % 3, apart=1, seed=1, groups=np.arange(180) % 30)
    assert learning_curve.measure_learning_curve(copies, val, seed=0) is None
    assert (
        learning_curve.measure_learning_curve(made("train", np.arange(120) % 2, apart=1, seed=1), val, seed=0) is None
    )


def test_a_class_that_the_validation_fold_lacks_has_no_recall() -> None:
    train, _ = folds(apart=1, images=150)
    curve = learning_curve.measure_learning_curve(train, made("val", np.arange(100) % 2, apart=1, seed=2), seed=0)
    assert curve is not None
    assert {point.recall for point in curve.classes["wasp"]} == {None}
    assert None not in {point.recall for point in curve.classes["bee"]}


def test_of_many_images_a_part_is_used_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_curve, "MOST_IMAGES", 150)
    curve = learning_curve.measure_learning_curve(*folds(apart=0.7), seed=0)
    assert curve is not None
    assert curve.points[-1].images == 150
    assert curve.text.endswith("Judged by 150 of 600 training images.")


@given(sizes=st.lists(st.integers(1, 5), min_size=6, max_size=40), share=st.floats(0.05, 1), seed=st.integers(0, 99))
def test_draws_keep_groups_whole_and_classes_in_their_shares(sizes: list[int], share: float, seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    images = made("train", groups % 3, apart=0, seed=0, groups=groups)
    rows = learning_curve.draw_share(images, share, np.random.default_rng(seed))
    assert (np.diff(rows) > 0).all()
    assert not set(groups[rows]) & set(np.delete(groups, rows))
    for label in range(3):
        of_class, taken = (images.labels == label).sum(), (images.labels[rows] == label).sum()
        # A group more at most: one that is begun is taken as a whole.
        assert share * of_class - 1e-9 <= taken < share * of_class + 5


@given(
    floor=st.floats(0, 0.3),
    reducible=st.floats(0.05, 0.3),
    exponent=st.floats(0.1, 0.9),
    whole=st.integers(100, 9999),
)
def test_a_power_law_is_recognized(floor: float, reducible: float, exponent: float, whole: int) -> None:
    shares = np.array(learning_curve.SHARES)
    error = learning_curve.predict_error(shares, floor, reducible, exponent)
    law = learning_curve.fit_power_law(shares * whole, 1 - error, np.full(len(shares), 0.01))
    assert learning_curve.predict_gain(law, 1) == pytest.approx(reducible * (1 - 2**-exponent), abs=1e-3)


@pytest.mark.parametrize(
    ("gain", "neediest", "text"),
    [
        ((0.008, 0.003, 0.013), "dog", "Twice the images would bring about +0.8 points (0.3 to 1.3), most in dog."),
        (
            (0.001, 0.0, 0.004),
            None,
            "More images of this kind would hardly help: twice as many would bring +0.1 points (0.0 to 0.4).",
        ),
        (
            (0.001, 0.0, 0.08),
            None,
            "What twice the images would bring cannot be told from so few: between +0.0 and +8.0 points.",
        ),
    ],
)
def test_the_answer_in_words(gain: tuple[float, float, float], neediest: str | None, text: str) -> None:
    interval = Interval(**dict(zip(("value", "low", "high"), gain, strict=True)))
    assert learning_curve.describe_gain(interval, neediest, 100, 100) == text


def test_the_neediest_class_rises_by_more_than_chance() -> None:
    random = np.random.default_rng(0)
    rises = {"ant": 0.01, "bee": 0.04, "wasp": 0.09}
    resampled = {"ant": random.normal(0.01, 0.001, 300), "bee": random.normal(0.04, 0.01, 300)}
    unsure = {**resampled, "wasp": random.normal(0.09, 0.08, 300)}
    assert learning_curve.find_neediest_class(rises, unsure) == "bee"
    assert learning_curve.find_neediest_class({"wasp": 0.09}, {"wasp": unsure["wasp"]}) is None
    assert learning_curve.find_neediest_class({}, {}) is None
