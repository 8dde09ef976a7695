"""Which answers a packed model rejects: on the test fold, and on images that are unlike its training images."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from unfreeze.evaluation import selective
from unfreeze.images import store, unlike
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
        rows: Their rows in the store, ascending, at least one.
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes).
    """

    rows: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is right, shape (images,)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.labels)


def measure(classifier: Classifier, images: Path, scored: Scored, seed: int) -> Abstention:
    """Return what the thresholds of a packed model reject.

    Args:
        classifier: The packed model.
        images: The image store.
        scored: The test fold.
        seed: Seed of the drawn images.
    """
    model = classifier.model
    title = f"{model.backbone}: images unlike its training images"
    # Sums in BLAS depend on the number of its threads, and these spin, which takes processors from the network.
    with (
        threadpool_limits(1, "blas"),
        console.progress(title, len(scored.rows) + DRAWN * len(unlike.KINDS)) as advance,
    ):

        def measure_unlikeness(batches: Iterable[np.ndarray]) -> np.ndarray:
            found = []
            for answers in classifier.classify(batches):
                found.append(answers.unlikeness)
                advance(len(answers))
            return np.concatenate(found)

        like = measure_unlikeness(store.read_batches(images, scored.rows, classifier.batch_size))
        sets = [
            compare(kind, like, measure_unlikeness(_draw_batches(classifier, kind, seed))) for kind in unlike.KINDS
        ]
    reasons = np.array(abstention.judge(scored.probabilities, like, lowest=model.unsure.lowest))
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
