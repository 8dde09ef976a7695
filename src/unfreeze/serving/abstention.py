"""Answers that a model had better not give: where it is unsure, and where an image is unlike its training images."""

from dataclasses import dataclass

import numpy as np

# Sun et al. 2022 ("Out-of-Distribution Detection with Deep Nearest Neighbors") take the distance to the k-th nearest
# of normalized features; a few neighbours make up for single odd training images.
NEIGHBOURS = 10
# Keeps quotients finite where all held-back images lie on training images.
LEAST_DISTANCE = 1e-6
UNSURE, UNLIKE = "unsure", "unlike training"
# No probability reaches it.
NOTHING_ACCEPTED = 1.1


@dataclass(frozen=True)
class Vectors:
    """Features as directions and lengths.

    Args:
        directions: Features of length 1, float32 of shape (images, channels); a row of zeros stays.
        lengths: Of the features, float32 of shape (images,).
    """

    directions: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Nearest:
    """The training images that are nearest to some images.

    Args:
        rows: Their numbers among the reference images, nearest by cosine distance first; shape (images, neighbours).
        distances: Cosine distances, 0 to 2; same shape.
        euclidean: Euclidean distance to the last of as many neighbours, shape (images,): these are the nearest by
            that distance, so they may be others.
    """

    rows: np.ndarray
    distances: np.ndarray
    euclidean: np.ndarray

    @property
    def farthest(self) -> np.ndarray:
        """Cosine distance of each image to the last of its neighbours, shape (images,)."""
        return np.asarray(self.distances[:, -1])


def divide(features: np.ndarray) -> Vectors:
    """Divide features into directions and lengths.

    Args:
        features: Shape (images, channels).
    """
    wide = features.astype("float32")
    lengths = np.linalg.norm(wide, axis=1)
    column = lengths[:, None]
    return Vectors(np.divide(wide, column, out=np.zeros_like(wide), where=column > 0), lengths)


def find_nearest(reference: Vectors, asked: Vectors, neighbours: int = NEIGHBOURS) -> Nearest:
    """Return the nearest reference images of each image; all if there are fewer.

    Args:
        reference: Features of training images.
        asked: Features of the images asked for.
        neighbours: How many.
    """
    count = min(neighbours, len(reference.lengths))
    similarity = asked.directions @ reference.directions.T
    distances = 1 - similarity
    some = np.argpartition(distances, count - 1, axis=1)[:, :count]
    order = np.take_along_axis(distances, some, axis=1).argsort(axis=1, kind="stable")
    rows = np.take_along_axis(some, order, axis=1)
    # Law of cosines.
    squares = (
        asked.lengths[:, None] ** 2
        + reference.lengths**2
        - 2 * asked.lengths[:, None] * reference.lengths * similarity
    )
    euclidean = np.sqrt(np.clip(np.partition(squares, count - 1, axis=1)[:, count - 1], 0, None))
    return Nearest(rows, np.clip(np.take_along_axis(distances, rows, axis=1), 0, 2), euclidean)


def measure_unlikeness(nearest: Nearest, *, cosine: float, euclidean: float) -> np.ndarray:
    """Return how unlike the training images some images are: above 1 they count as unlike.

    It is the larger of two distances, each as a multiple of its limit. Networks that were trained on photographs tell
    foreign images by the direction of their features; small networks trained from scratch also need the length.

    Args:
        nearest: The images' distances.
        cosine: Largest accepted cosine distance.
        euclidean: Largest accepted Euclidean distance.

    Returns:
        Shape (images,), 0 or more.
    """
    return np.maximum(
        nearest.farthest / max(cosine, LEAST_DISTANCE), nearest.euclidean / max(euclidean, LEAST_DISTANCE)
    )


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


def find_limits(nearest: Nearest, false_alarms: float) -> tuple[float, float]:
    """Return the largest accepted cosine and Euclidean distance, which a share of like images exceeds in either.

    Args:
        nearest: Distances of held-back images that are like the training images.
        false_alarms: The share, 0 to 1.
    """
    cosine = max(find_farthest_distance(nearest.farthest, false_alarms), LEAST_DISTANCE)
    euclidean = max(find_farthest_distance(nearest.euclidean, false_alarms), LEAST_DISTANCE)
    # Each limit alone gives that share of false alarms, so both together give more.
    both = find_farthest_distance(measure_unlikeness(nearest, cosine=cosine, euclidean=euclidean), false_alarms)
    return cosine * both, euclidean * both


def judge(probabilities: np.ndarray, unlikeness: np.ndarray, *, lowest: float) -> list[str]:
    """Return why each answer is not accepted; an empty text where it is.

    Args:
        probabilities: Shape (images, classes).
        unlikeness: As `measure_unlikeness` gives it, shape (images,).
        lowest: Least accepted probability of the predicted class.
    """
    unlike = unlikeness > 1
    unsure = probabilities.max(axis=1) < lowest
    return [UNLIKE if far else UNSURE if doubtful else "" for far, doubtful in zip(unlike, unsure, strict=True)]
