"""A fold with its predictions, and the resamples that the intervals of its metrics share."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from unfreeze.evaluation import intervals, resampling, scores
from unfreeze.records.interval import Interval
from unfreeze.records.test_scores import Scores

# Resamples whose image weights are in memory at a time: those of 10,000 images take 8 MB.
BLOCK = 100

WeightedScore = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


class Fold:
    """Labels and predicted probabilities of a fold.

    The random streams are: `seed` for `recalls`; (`seed`, 1) for `claims`, then for `draw_image_weights`, then for
    the intervals of classes, in this order whatever is asked first.

    Args:
        labels: Class numbers, int array of shape (images,).
        probabilities: Float array of shape (images, classes), two classes or more; rows add up to 1.
        classes: Class names by number.
        seed: Seed of the resamples.
        resamples: Number of resamples.

    >>> fold = Fold(np.array([0, 1]), np.array([[0.9, 0.1], [0.7, 0.3]]), ["cat", "dog"], seed=0)
    >>> fold.correct.tolist()
    [True, False]
    """

    def __init__(
        self,
        labels: np.ndarray,
        probabilities: np.ndarray,
        classes: list[str],
        *,
        seed: int,
        resamples: int = intervals.RESAMPLES,
    ) -> None:
        self.labels = labels
        self.probabilities = probabilities
        self.classes = classes
        self.seed = seed
        self.resamples = resamples

    @functools.cached_property
    def scores(self) -> Scores:
        """Scores without intervals."""
        return scores.score(self.labels, self.probabilities, self.classes)

    @functools.cached_property
    def correct(self) -> np.ndarray:
        """Whether each image is classified correctly, bool array of shape (images,)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.labels)

    @functools.cached_property
    def confusion(self) -> np.ndarray:
        """Number of images, int array of shape (classes, classes), true classes as rows."""
        return np.array(self.scores.confusion)

    @functools.cached_property
    def recalls(self) -> np.ndarray:
        """Resampled recalls of the classes with images, shape (resamples, classes with images)."""
        return intervals.resample_recalls(self.correct, self.labels, self.seed, self.resamples)

    @property
    def claims(self) -> np.ndarray:
        """Resampled number of images predicted as each class, shape (resamples, classes)."""
        return self._claims_and_stream[0]

    def draw_image_weights(self) -> Iterator[np.ndarray]:
        """Yield how often each image counts in the resamples, blocks of shape (resamples of the block, images).

        All metrics see the same resamples.
        """
        rng = np.random.Generator(np.random.PCG64())
        rng.bit_generator.state = self._claims_and_stream[1]
        for start in range(0, self.resamples, BLOCK):
            yield resampling.resample_weights(self.labels, rng, min(BLOCK, self.resamples - start))
        self._after_image_weights = rng.bit_generator.state

    def make_class_stream(self) -> np.random.Generator:
        """Return the random stream for the intervals of classes."""
        if not hasattr(self, "_after_image_weights"):
            for _ in self.draw_image_weights():
                pass
        rng = np.random.Generator(np.random.PCG64())
        rng.bit_generator.state = self._after_image_weights
        return rng

    @functools.cached_property
    def _claims_and_stream(self) -> tuple[np.ndarray, Mapping[str, Any]]:
        """Draw what wrong images are taken for; return the claims and the state of the stream behind them."""
        # Independent random stream; the recalls already consumed default_rng(seed).
        rng = np.random.default_rng([self.seed, 1])
        there = np.flatnonzero(self.confusion.sum(axis=1))
        sizes = self.confusion[there].sum(axis=1)
        times = resampling.count_draws(sizes)
        misses = np.rint((1 - self.recalls) * times).astype(np.int64)
        claims = np.zeros((self.resamples, len(self.confusion)))
        claims[:, there] = self.recalls * sizes
        for row, number in enumerate(there):
            others = np.arange(len(self.confusion)) != number
            wrong = self.confusion[number] * others
            # Without a wrong image of a class, all other classes are equally likely.
            chances = wrong / wrong.sum() if wrong.any() else others / others.sum()
            columns = np.flatnonzero(chances)
            claims[:, columns] += rng.multinomial(misses[:, row], chances[columns]) * (sizes[row] / times[row])
        return claims, rng.bit_generator.state


def bootstrap(score: WeightedScore, *, resamples: int = 500) -> Callable[[Fold], Interval]:
    """Return a function that gives a metric its interval by the stratified bootstrap of images.

    Args:
        score: Takes labels (shape (images,)), probabilities (shape (images, classes)) and the weight of each image
            (shape (images,)), and returns the metric.
        resamples: Most resamples to score; the fold has 2,000.

    Returns:
        The function that `Metric` takes: the score with the 2.5 and 97.5 percentiles of its resamples.
    """

    def interval(fold: Fold) -> Interval:
        value = score(fold.labels, fold.probabilities, np.ones(len(fold.labels)))
        weights = itertools.islice(itertools.chain.from_iterable(fold.draw_image_weights()), resamples)
        resampled = np.array([score(fold.labels, fold.probabilities, weight) for weight in weights])
        return intervals.take_percentiles(value, resampled, lowest=-np.inf, highest=np.inf)

    return interval
