"""What the report says of rejected answers is what the packed thresholds reject."""

from pathlib import Path

import numpy as np
import pytest

from unfreeze.images import store, unlike
from unfreeze.serving import rejection
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.rejection import Scored


@pytest.fixture(scope="module")
def classifier(packed: Path) -> Classifier:
    return Classifier(packed)


def test_shares_are_those_of_the_packed_thresholds(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejection, "DRAWN", 5)
    images, rows = classifier.folder.parents[1] / "images.h5", np.arange(0, 36, 2)
    (answers,) = Classifier(classifier.folder, batch_size=18).classify([store.read_pixels(images, rows)])
    correct = np.arange(18) % 3 > 0
    found = rejection.measure(classifier, images, Scored(rows, correct, answers.probabilities), seed=0)
    accepted = np.array([not reason for reason in answers.reasons])
    assert found.accepted == accepted.mean()
    assert found.error == (pytest.approx((~correct[accepted]).mean()) if accepted.any() else None)
    assert found.accepted + found.unsure + found.unlike == pytest.approx(1)
    assert [of.kind for of in found.unlike_images] == list(unlike.KINDS)
    assert {of.images for of in found.unlike_images} == {5}
    again = rejection.measure(classifier, images, Scored(rows, correct, answers.probabilities), seed=0)
    assert again == found


def test_images_farther_than_all_like_ones_are_told_apart() -> None:
    found = rejection.compare("noise", np.array([0.2, 0.5, 1.1]), np.array([1.2, 3.0]))
    assert (found.auroc, found.rejected, found.images) == (1.0, 1.0, 2)
    assert rejection.compare("noise", np.array([0.2, 0.5]), np.array([0.2, 0.5])).auroc == 0.5
