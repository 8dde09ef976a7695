import numpy as np
import pytest
from sklearn import metrics

from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import scores

LABELS = np.array([0, 0, 0, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])


def test_scores_of_four_images() -> None:
    result = scores.score(LABELS, PROBABILITIES, ["cat", "dog"])
    assert result.images == 4
    assert result.accuracy == 0.75
    assert result.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert result.confusion == ((2, 1), (0, 1))
    assert result.classes["cat"].to_json() == {"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "support": 3}
    assert result.log_loss == pytest.approx(-np.log([0.9, 0.8, 0.3, 0.6]).mean())
    assert result.auc == pytest.approx(2 / 3)
    assert result.weighted.recall == 0.75
    assert result.macro.f1 == pytest.approx((0.8 + 2 / 3) / 2)


def test_four_classes_have_four_curves() -> None:
    labels = np.arange(20) % 4
    probabilities = np.full((20, 4), 0.1)
    probabilities[np.arange(20), labels] = 0.7
    assert scores.score(labels, probabilities, list("abcd")).auc == 1
    assert scores.compute_roc(labels, probabilities, list("abcd"))["class"].unique().tolist() == list("abcd")


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    result = scores.score(LABELS, np.array([[0.9, 0.1]] * 4), ["cat", "dog"])
    assert result.classes["dog"].precision == 0
    assert result.accuracy == 0.75


def simulated(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and probabilities of a fair classifier."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    votes = rng.normal(size=(images, classes))
    votes[np.arange(images), labels] += 1.5
    return labels, np.exp(votes) / np.exp(votes).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 5])
def test_scores_agree_with_scikit_learn(classes: int) -> None:
    labels, probabilities = simulated(203, classes)
    predicted = probabilities.argmax(axis=1)
    result = scores.score(labels, probabilities, list("abcde")[:classes])
    assert result.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert result.macro.f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert result.weighted.f1 == pytest.approx(metrics.f1_score(labels, predicted, average="weighted"))
    assert result.macro.support == 203
    answers = probabilities[:, 1] if classes == 2 else probabilities
    assert result.auc == pytest.approx(metrics.roc_auc_score(labels, answers, multi_class="ovr"))


def test_a_class_that_the_fold_lacks_has_no_scores_and_no_part_in_averages() -> None:
    labels = np.array([0, 0, 2, 2])
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.3, 0.1, 0.6]])
    result = scores.score(labels, probabilities, ["cat", "dog", "fox"])
    assert result.classes["dog"].to_json() == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert result.balanced_accuracy == 0.75
    assert result.macro.to_json() == {"precision": 1.0, "recall": 0.75, "f1": pytest.approx(5 / 6), "support": 4}
    # Of cats 3 of 4 pairs are in order, of foxes all.
    assert result.auc == pytest.approx((0.75 + 1) / 2)
    assert result.confusion == ((1, 1, 0), (0, 0, 0), (0, 0, 2))
    assert scores.compute_roc(labels, probabilities, ["cat", "dog", "fox"])["class"].unique().tolist() == [
        "cat",
        "fox",
    ]


def test_a_fold_of_one_class_has_no_auc_and_no_roc_curve() -> None:
    labels = np.zeros(4, int)
    assert scores.score(labels, PROBABILITIES, ["cat", "dog"]).auc is None
    assert scores.compute_roc(labels, PROBABILITIES, ["cat", "dog"]).empty
    assert scores.compute_precision_recall(labels, PROBABILITIES, ["cat", "dog"])["class"].unique() == ["cat"]


def test_two_hundred_classes_of_one_image_each_are_scored() -> None:
    labels, probabilities = simulated(200, 200)
    classes = [f"class {number}" for number in range(200)]
    result = scores.score(labels, probabilities, classes)
    assert result.accuracy == result.balanced_accuracy
    assert scores.compute_roc(labels, probabilities, classes)["class"].nunique() == 200


@pytest.mark.parametrize("points", [scores.compute_roc, scores.compute_precision_recall])
def test_a_curve_of_many_images_keeps_its_ends_and_its_shape(points) -> None:
    labels, probabilities = simulated(20_000, 2)
    curve = points(labels, probabilities, ["cat", "dog"])
    dog = curve[curve["class"] == "dog"]
    x, y = dog.columns[1:]
    assert 150 < len(dog) <= 200
    assert (dog[x].iloc[0], dog[x].iloc[-1]) == (0, 1)
    assert dog[x].is_monotonic_increasing
    area = metrics.roc_auc_score if x == "fpr" else metrics.average_precision_score
    assert np.trapezoid(dog[y], dog[x]) == pytest.approx(area(labels, probabilities[:, 1]), abs=0.002)


def test_a_short_curve_is_kept_whole() -> None:
    curve = scores.compute_precision_recall(LABELS, PROBABILITIES, ["cat", "dog"])
    dog = curve[curve["class"] == "dog"]
    assert dog[["recall", "precision"]].to_numpy().tolist() == [[0, 1], [0, 0], [1, 0.5], [1, 1 / 3], [1, 0.25]]


def test_the_most_confused_classes_come_first() -> None:
    confusion = [[5, 2, 0], [2, 2, 0], [3, 0, 0]]
    assert [pair.to_json() for pair in scores.list_confused(confusion, ["cat", "dog", "fox"])] == [
        {"label": "fox", "predicted": "cat", "images": 3, "share": 1.0},
        {"label": "dog", "predicted": "cat", "images": 2, "share": 0.5},
        {"label": "cat", "predicted": "dog", "images": 2, "share": pytest.approx(2 / 7)},
    ]
    assert len(scores.list_confused(confusion, ["cat", "dog", "fox"], most=1)) == 1
    assert scores.list_confused([[5, 0], [0, 5]], ["cat", "dog"]) == []


@pytest.mark.parametrize("broken", [np.nan, np.inf, -0.1])
def test_broken_probabilities_are_refused(broken: float) -> None:
    probabilities = PROBABILITIES.copy()
    probabilities[2, 1] = broken
    with pytest.raises(UnfreezeError, match=r"xception: 1 of 4 images .*learning_rate.*extract.precision=float32"):
        scores.require_probabilities(probabilities, "xception")
    scores.require_probabilities(PROBABILITIES, "xception")
