"""Which answers a packed model rejects: on the test fold, and on images that are unlike its training images."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score
from threadpoolctl import ThreadpoolController

from unfreeze.evaluation import selective
from unfreeze.images import unlike
from unfreeze.records.test_scores import Abstention, UnlikeImages
from unfreeze.runtime import console
from unfreeze.serving import abstention
from unfreeze.serving.classifier import Classifier

# Images of each kind.
DRAWN = 60


@dataclass(frozen=True)
class Scored:
    """Images of a fold and what the model says of them.

    Args:
        labels: Class numbers, shape (images,), at least one.
        probabilities: Shape (images, classes).
        unlikeness: From `Unlikeness`, shape (images,).
    """

    labels: np.ndarray
    probabilities: np.ndarray
    unlikeness: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is right, shape (images,)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.labels)


class Unlikeness:
    """Collects how unlike the training images some images are, from features that come in parts of any size.

    Args:
        classifier: The packed model.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._waiting = np.zeros((0, 0), np.float32)
        self._found: list[np.ndarray] = []
        self._threads = ThreadpoolController()

    def add(self, features: np.ndarray) -> None:
        """Take the features of the next images, shape (images, channels)."""
        self._waiting = np.concatenate([self._waiting, features]) if len(self._waiting) else features
        # The last bits of a product depend on its size, so parts of a cluster are cut into the same batches.
        size = self._classifier.batch_size
        while len(self._waiting) >= size:
            self._compare(size)

    def finish(self) -> np.ndarray:
        """Return the unlikeness of all images, shape (images,)."""
        if len(self._waiting):
            self._compare(len(self._waiting))
        return np.concatenate(self._found)

    def _compare(self, count: int) -> None:
        # Sums in BLAS depend on the number of its threads, and these spin, which takes processors from the network.
        with self._threads.limit(limits=1, user_api="blas"):
            self._found.append(self._classifier.compare(self._waiting[:count])[1])
        self._waiting = self._waiting[count:]


def measure(classifier: Classifier, scored: Scored, seed: int) -> Abstention:
    """Return what the thresholds of a packed model reject.

    Args:
        classifier: The packed model.
        scored: The test fold.
        seed: Seed of the drawn images.
    """
    model = classifier.model
    with console.progress(f"{model.backbone}: drawn images", DRAWN * len(unlike.KINDS)) as advance:
        sets = []
        for kind in unlike.KINDS:
            other = Unlikeness(classifier)
            for _, features in classifier.network.run(_draw_batches(classifier, kind, seed)):
                other.add(features)
                advance(len(features))
            sets.append(compare(kind, scored.unlikeness, other.finish()))
    reasons = np.array(abstention.judge(scored.probabilities, scored.unlikeness, lowest=model.unsure.lowest))
    accepted = reasons == ""
    curve = selective.compute_risk_coverage(scored.probabilities.max(axis=1), scored.correct)
    return Abstention(
        risk_area=selective.compute_risk_area(curve),
        lowest=model.unsure.lowest,
        error_rate=model.unsure.error_rate,
        accepted=float(accepted.mean()),
        error=float((~scored.correct[accepted]).mean()) if accepted.any() else None,
        unsure=float((reasons == abstention.UNSURE).mean()),
        unlike=float((reasons == abstention.UNLIKE).mean()),
        unlike_images=tuple(sets),
    )


def compare(kind: str, like: np.ndarray, other: np.ndarray) -> UnlikeImages:
    """Return how well unlikeness tells images of another kind from images like the training images.

    Args:
        kind: What the other images show.
        like: Unlikeness of images like the training images, shape (images,), at least one.
        other: Unlikeness of the others, shape (others,), at least one.
    """
    is_other = np.repeat([False, True], [len(like), len(other)])
    return UnlikeImages(
        kind=kind,
        images=len(other),
        auroc=float(roc_auc_score(is_other, np.concatenate([like, other]))),
        rejected=float((other > 1).mean()),
    )


def _draw_batches(classifier: Classifier, kind: str, seed: int) -> Iterable[np.ndarray]:
    drawn = unlike.draw(kind, classifier.model.size, DRAWN, seed)
    return (drawn[start : start + classifier.batch_size] for start in range(0, DRAWN, classifier.batch_size))
