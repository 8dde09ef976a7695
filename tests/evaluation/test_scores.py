import numpy as np
import pytest

from unfreeze.evaluation import scores

LABELS = np.array([0, 0, 0, 1])
PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])


def test_scores_of_four_images() -> None:
    result = scores.score(LABELS, PROBABILITIES, ["cat", "dog"])
    assert result["images"] == 4
    assert result["accuracy"] == 0.75
    assert result["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert result["confusion"] == [[2, 1], [0, 1]]
    assert result["classes"]["cat"] == {"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "support": 3}
    assert result["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.3, 0.6]).mean())
    assert result["auc"] == pytest.approx(2 / 3)
    assert result["weighted"]["recall"] == 0.75
    assert result["macro"]["f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_four_classes_have_four_curves() -> None:
    labels = np.arange(20) % 4
    probabilities = np.full((20, 4), 0.1)
    probabilities[np.arange(20), labels] = 0.7
    assert scores.score(labels, probabilities, list("abcd"))["auc"] == 1
    assert scores.roc_points(labels, probabilities, list("abcd"))["class"].unique().tolist() == list("abcd")


def test_a_class_that_is_never_predicted_has_no_precision() -> None:
    result = scores.score(LABELS, np.array([[0.9, 0.1]] * 4), ["cat", "dog"])
    assert result["classes"]["dog"]["precision"] == 0
    assert result["accuracy"] == 0.75
