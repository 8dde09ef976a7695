"""Answers that a model had better not give: where it is unsure, and where an image is unlike its training images."""

from dataclasses import dataclass

import numpy as np

# Sun et al. 2022 ("Out-of-Distribution Detection with Deep Nearest Neighbors") take the distance to the k-th nearest
# of normalized features; a few neighbours make up for single odd training images.
NEIGHBOURS = 10
UNSURE, UNLIKE = "unsure", "unlike training"
# No probability reaches it.
NOTHING_ACCEPTED = 1.1


@dataclass(frozen=True)
class Nearest:
    """The training images that are nearest to some images.

    Args:
        rows: Their numbers among the reference images, nearest first; shape (images, neighbours).
        distances: Cosine distances, 0 to 2; same shape.
    """

    rows: np.ndarray
    distances: np.ndarray

    @property
    def farthest(self) -> np.ndarray:
        """Distance of each image to the last of its neighbours, shape (images,)."""
        return np.asarray(self.distances[:, -1])


def normalize(features: np.ndarray) -> np.ndarray:
    """Return features of length 1, float32; a row of zeros stays.

    Args:
        features: Shape (images, channels).
    """
    wide = features.astype("float32")
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(np.divide(wide, length, out=np.zeros_like(wide), where=length > 0))


def find_nearest(reference: np.ndarray, features: np.ndarray, neighbours: int = NEIGHBOURS) -> Nearest:
    """Return the nearest reference images of each image; all if there are fewer.

    Args:
        reference: Normalized features of training images, shape (references, channels).
        features: Normalized features of the images asked for, shape (images, channels).
        neighbours: How many.
    """
    count = min(neighbours, len(reference))
    distances = 1 - features @ reference.T
    some = np.argpartition(distances, count - 1, axis=1)[:, :count]
    order = np.take_along_axis(distances, some, axis=1).argsort(axis=1, kind="stable")
    rows = np.take_along_axis(some, order, axis=1)
    return Nearest(rows, np.clip(np.take_along_axis(distances, rows, axis=1), 0, 2))


def find_lowest_confidence(confidence: np.ndarray, correct: np.ndarray, error_rate: float) -> float:
    """Return the least confidence that keeps the share of wrong answers among the accepted ones.

    It is the lowest threshold that does so on these images (selective prediction; Geifman and El-Yaniv 2017).

    Args:
        confidence: Probability of the predicted class, shape (images,).
        correct: Whether the prediction is right, shape (images,).
        error_rate: Largest share of wrong answers, 0 to 1.

    Returns:
        0 if all may be accepted, and above 1 if no threshold is enough.

    Example:
        >>> find_lowest_confidence(np.array([0.6, 0.7, 0.9]), np.array([False, True, True]), 0.1)
        0.7
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, wrong = confidence[order], np.cumsum(~correct[order])
    # Equal confidences are accepted together.
    last = np.append(ranked[1:] != ranked[:-1], True)
    good = np.flatnonzero(last & (wrong <= error_rate * np.arange(1, len(ranked) + 1)))
    if not len(good):
        return NOTHING_ACCEPTED
    return 0.0 if good[-1] == len(ranked) - 1 else float(ranked[good[-1]])


def find_farthest_distance(distances: np.ndarray, false_alarms: float) -> float:
    """Return the distance that a share of like images exceeds.

    Args:
        distances: Of held-back images that are like the training images, shape (images,).
        false_alarms: The share, 0 to 1. With few images it is kept on average over draws of them, as conformal
            prediction does it, or the largest distance is taken.
    """
    ranked = np.sort(distances)
    place = int(np.ceil((len(ranked) + 1) * (1 - false_alarms))) - 1
    return float(ranked[min(place, len(ranked) - 1)])


def judge(probabilities: np.ndarray, distances: np.ndarray, *, lowest: float, farthest: float) -> list[str]:
    """Return why each answer is not accepted; an empty text where it is.

    Args:
        probabilities: Shape (images, classes).
        distances: Shape (images,).
        lowest: Least accepted probability of the predicted class.
        farthest: Largest accepted distance.
    """
    unlike = distances > farthest
    unsure = probabilities.max(axis=1) < lowest
    return [UNLIKE if far else UNSURE if doubtful else "" for far, doubtful in zip(unlike, unsure, strict=True)]
