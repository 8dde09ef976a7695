"""Intervals of scores (95 %): how far another test fold of the same kind could have moved them.

They come from the stratified bootstrap of `resampling`. Two things keep the intervals of proportions honest.

* One image more is counted as right and one as wrong, spread over the classes (as Price and Bonett 2004, An improved
  confidence interval for a linear function of binomial proportions, spread theirs). Without them a class of which
  all images are right does not vary. For balanced accuracy of three classes of 200 images and one of 12, all with
  recall 0.9, the interval then held the truth in 77 % of simulated folds; with them in 97 %. For accuracy on 800
  images of one class the exact coverage is 0.950 on average from 0.55 to 0.92, and 0.956 (at least 0.940) from 0.97
  to 0.995; with half as many images counted beside it falls to 0.904 there, with twice as many to 0.924.
* Where all images that are counted are right, or none, accuracy, precision and recall have the exact limits of
  Clopper and Pearson (1934).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import beta, norm

from unfreeze.evaluation import calibration, resampling, scores

# A score, its lower and its upper limit; all None where there is no such score.
Interval = dict[str, float | None]
LIMITS = (0.025, 0.975)
RESAMPLES = 2000
RIGHT_AND_WRONG = np.array([1.0, 1.0])
# Resamples whose weights of images are held at a time: those of 10,000 images take 8 MB.
BLOCK = 100
# Images times curves times resamples that an AUC may take, about 10 s. Its standard error is good to 5 % from the
# fewest resamples, to 2 % from 2,000.
MOST_AREA_WORK = 1_000_000_000
FEWEST_RESAMPLES = 200
# Sums of weights are rounded: what varies less does not vary.
ROUNDING = 1e-12


def score_intervals(
    labels: np.ndarray, probabilities: np.ndarray, classes: list[str], *, seed: int, resamples: int = RESAMPLES
) -> dict[str, dict[str, Any]]:
    """Put an interval to each score of a classifier.

    Accuracy, balanced accuracy and macro F1 are resampled as rows of the confusion matrix; log loss, AUC and
    calibration error as images. Macro F1 and the calibration error are no sums over images, so that resampling shifts
    them; the shift is taken out. The AUC's limits are even on the logit scale, by its bootstrap standard error:
    near 1, percentiles lie too high (for an AUC of 0.98 with 700 and 100 images they held the truth in 91 %, these in
    94 %). For 200 classes and 10,000 images the AUC is resampled 500 times. A class's precision, recall and F1 are
    those of a problem of two classes, it and the rest, with Jeffreys' priors (Brown, Cai and DasGupta 2001, Interval
    estimation for a binomial proportion).

    The calibration error is that of folds of this size: chance makes it larger in small ones.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes), two classes or more; rows add up to 1.
        classes: Class names by number.
        seed: Seed of the resamples.
        resamples: How many.

    Returns:
        `scores`: an interval (value, low, high) each of accuracy, balanced_accuracy, macro_f1, log_loss, auc and
        calibration_error. `classes`: by name, an interval each of precision, recall and f1, and the support.
    """
    values = scores.score(labels, probabilities, classes)
    confusion = np.array(values["confusion"])
    correct = probabilities.argmax(axis=1) == labels
    recalls = _recalls(correct, labels, seed, resamples)
    # What is drawn below has its own chance: the recalls have used the seed's.
    rng = np.random.default_rng([seed, 1])
    return {
        "scores": {
            "accuracy": accuracy_interval(correct, labels, seed=seed, resamples=resamples),
            "balanced_accuracy": balanced_accuracy_interval(correct, labels, seed=seed, resamples=resamples),
            "macro_f1": _percentiles(values["macro"]["f1"], _macro_f1(confusion, recalls, rng)),
            **_of_images(labels, probabilities, values, rng, resamples),
        },
        "classes": _of_classes(confusion, values["classes"], rng, resamples),
    }


def accuracy_interval(correct: np.ndarray, labels: np.ndarray, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """Put an interval to the accuracy on some images.

    Args:
        correct: Whether each image is right, bool array of shape (images,).
        labels: Class numbers, shape (images,).
        seed: Seed of the resamples.
        resamples: How many.

    Returns:
        value, low and high; the exact limits where all images are right or none.
    """
    value = float(correct.mean())
    if value in (0, 1):
        return _interval(value, *_exact(int(correct.sum()), len(correct)))
    sizes = np.unique(labels, return_counts=True)[1]
    return _percentiles(value, _recalls(correct, labels, seed, resamples) @ sizes / len(labels))


def balanced_accuracy_interval(
    correct: np.ndarray, labels: np.ndarray, *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Put an interval to the mean recall of the classes that are there.

    Args:
        correct: Whether each image is right, bool array of shape (images,).
        labels: Class numbers, shape (images,).
        seed: Seed of the resamples.
        resamples: How many.

    Returns:
        value, low and high.
    """
    right, wrong = resampling.by_class(np.stack([correct, ~correct]), labels).T
    value = float((right / (right + wrong)).mean())
    return _percentiles(value, _recalls(correct, labels, seed, resamples).mean(axis=1))


def difference(
    labels: np.ndarray,
    first_correct: np.ndarray,
    second_correct: np.ndarray,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Interval:
    """Put an interval to the difference in accuracy of two classifiers on the same images.

    Images are resampled with both answers (a paired bootstrap), after one more was counted that only the first has
    right and one that only the second has (as Bonett and Price 2012, Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data, count them). So two that agree on all images differ by 0
    with limits of about 3 images on either side: so many may differ in another fold.

    Args:
        labels: Class numbers, shape (images,).
        first_correct: Whether the first is right, bool array of shape (images,).
        second_correct: The same of the second.
        seed: Seed of the resamples.
        resamples: How many.

    Returns:
        value (the first's accuracy minus the second's), low and high.
    """
    only_first, only_second = first_correct & ~second_correct, second_correct & ~first_correct
    counts = resampling.by_class(np.stack([only_first, only_second, first_correct == second_correct]), labels)
    rng = np.random.default_rng(seed)
    shares = resampling.shares(counts, np.array([1.0, 1.0, 0.0]), rng, resamples)
    gaps = (shares[..., 0] - shares[..., 1]) @ counts.sum(axis=1) / len(labels)
    return _percentiles((only_first.sum() - only_second.sum()) / len(labels), gaps, lowest=-1)


def _recalls(correct: np.ndarray, labels: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Return the resampled recalls of the classes that are there, shape (resamples, classes)."""
    counts = resampling.by_class(np.stack([correct, ~correct]), labels)
    return resampling.shares(counts, RIGHT_AND_WRONG, np.random.default_rng(seed), resamples)[..., 0]


def _macro_f1(confusion: np.ndarray, recalls: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the macro F1 of each resample from the recalls in it: wrong images are taken for what others were."""
    there = np.flatnonzero(confusion.sum(axis=1))
    sizes = confusion[there].sum(axis=1)
    times = resampling.drawn(sizes)
    hits = recalls * sizes
    misses = np.rint((1 - recalls) * times).astype(np.int64)
    claimed = np.zeros((len(recalls), len(confusion)))
    claimed[:, there] = hits
    for row, number in enumerate(there):
        others = np.arange(len(confusion)) != number
        wrong = confusion[number] * others
        # Nobody knows for what the first wrong image of a class would be taken.
        chances = wrong / wrong.sum() if wrong.any() else others / others.sum()
        columns = np.flatnonzero(chances)
        claimed[:, columns] += rng.multinomial(misses[:, row], chances[columns]) * (sizes[row] / times[row])

    def macro(hits: np.ndarray, claimed: np.ndarray) -> np.ndarray:
        return (2 * hits / (sizes + claimed[..., there])).mean(axis=-1)

    resampled = macro(hits, claimed)
    shift = resampled.mean() - macro(hits.mean(axis=0), claimed.mean(axis=0))
    return resampled - shift


def _of_images(
    labels: np.ndarray, probabilities: np.ndarray, values: dict[str, Any], rng: np.random.Generator, resamples: int
) -> dict[str, Interval]:
    """Put intervals to the scores that the confusion matrix does not tell."""
    images, rows = len(labels), np.arange(len(labels))
    losses = -np.log(np.maximum(probabilities[rows, labels], calibration.LEAST_PROBABILITY))
    correct = probabilities.argmax(axis=1) == labels
    gaps = np.zeros((images, calibration.BINS))
    gaps[rows, calibration.bin_numbers(probabilities)] = probabilities.max(axis=1) - correct
    fewest = int(np.unique(labels, return_counts=True)[1].min())
    contrasted = scores.contrasted(labels, probabilities) if fewest > 1 else []
    curves = [_Curve.of(probabilities[:, number], labels == number) for number in contrasted]
    ranked = min(resamples, max(FEWEST_RESAMPLES, MOST_AREA_WORK // (images * max(len(curves), 1))))

    loss, error, area = [], [], []
    for start in range(0, resamples, BLOCK):
        weights = resampling.weights(labels, rng, min(BLOCK, resamples - start))
        loss.append(weights @ losses / images)
        error.append(np.abs(weights @ gaps).sum(axis=1) / images)
        if curves and start < ranked:
            area.append(np.mean([curve.areas(weights) for curve in curves], axis=0))
    # An image of each class beside one of another: so many can be put side by side, each once.
    pairs = fewest * len(np.unique(labels)) / 2
    return {
        "log_loss": _of_loss(values["log_loss"], np.concatenate(loss), probabilities),
        "auc": _of_area(values["auc"], np.concatenate(area) if area else None, pairs),
        "calibration_error": _of_error(
            calibration.calibration_error(labels, probabilities), np.concatenate(error), images
        ),
    }


@dataclass(frozen=True)
class _Curve:
    """Where one class's images stand among the rest, in order of a score."""

    rest: np.ndarray
    members: np.ndarray
    below: np.ndarray
    not_above: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, is_member: np.ndarray) -> "_Curve":
        members, rest = np.flatnonzero(is_member), np.flatnonzero(~is_member)
        rest = rest[np.argsort(values[rest])]
        below, not_above = (np.searchsorted(values[rest], values[members], side) for side in ("left", "right"))
        return cls(rest, members, below, not_above)

    def areas(self, weights: np.ndarray) -> np.ndarray:
        """Return the area in each resample: the share of pairs in order, ties as half (Mann and Whitney 1947)."""
        passed = np.zeros((len(weights), len(self.rest) + 1))
        weights.take(self.rest, axis=1).cumsum(axis=1, out=passed[:, 1:])
        own = weights.take(self.members, axis=1)
        in_order = (own * (passed.take(self.below, axis=1) + passed.take(self.not_above, axis=1))).sum(axis=1) / 2
        return in_order / (own.sum(axis=1) * passed[:, -1])


def _of_area(value: float | None, resampled: np.ndarray | None, pairs: float) -> Interval:
    if value is None:
        return _interval(None, None, None)
    # A class of one image does not tell how much it varies: it is given the most that is possible at this mean.
    error = (value * (1 - value) / pairs) ** 0.5 if resampled is None else float(resampled.std())
    if error < ROUNDING or value in (0, 1):
        return _unvaried(value, pairs)
    reach = norm.ppf(LIMITS) * error / (value * (1 - value))
    return _interval(value, *expit(logit(value) + reach))


def _of_error(value: float, resampled: np.ndarray, images: int) -> Interval:
    if np.ptp(resampled) < ROUNDING:
        return _unvaried(value, images)
    return _percentiles(value, value + resampled - resampled.mean())


def _of_loss(value: float, resampled: np.ndarray, probabilities: np.ndarray) -> Interval:
    if np.ptp(resampled) >= ROUNDING:
        return _percentiles(value, resampled, highest=np.inf)
    # Images answered otherwise cost nothing at best, and at worst as much as the least probability that was given.
    unseen = _unseen(len(probabilities))
    worst = -np.log(max(probabilities.min(), calibration.LEAST_PROBABILITY))
    return _interval(value, value * (1 - unseen), value + worst * unseen)


def _of_classes(
    confusion: np.ndarray, values: dict[str, Any], rng: np.random.Generator, resamples: int
) -> dict[str, dict[str, Any]]:
    """Put intervals to each class's scores: it and the rest are two classes of fixed size."""
    hits, sizes = np.diag(confusion), confusion.sum(axis=1)
    alarms, rest = confusion.sum(axis=0) - hits, confusion.sum() - sizes
    caught = sizes * rng.beta(hits + 0.5, sizes - hits + 0.5, (resamples, len(sizes)))
    claimed = caught + rest * rng.beta(alarms + 0.5, rest - alarms + 0.5, (resamples, len(sizes)))
    found: dict[str, dict[str, Any]] = {}
    for number, (name, of_class) in enumerate(values.items()):
        if not sizes[number]:
            found[name] = {key: _interval(None, None, None) for key in ("precision", "recall", "f1")} | {"support": 0}
            continue
        right, claims, size = int(hits[number]), int(hits[number] + alarms[number]), int(sizes[number])
        precision = caught[:, number] / claimed[:, number]
        f1 = 2 * caught[:, number] / (size + claimed[:, number])
        found[name] = {
            "precision": _percentiles(of_class["precision"], precision)
            if 0 < right < claims
            else _interval(of_class["precision"], *_exact(right, claims)),
            "recall": _interval(of_class["recall"], *_proportion(right, size)),
            "f1": _percentiles(of_class["f1"], f1),
            "support": size,
        }
    return found


def _proportion(right: int, images: int) -> tuple[float, float]:
    """Return the limits of Jeffreys, or the exact ones where all images are right or none."""
    if right in (0, images):
        return _exact(right, images)
    low, high = beta.ppf(LIMITS, right + 0.5, images - right + 0.5)
    return float(low), float(high)


def _exact(right: int, images: int) -> tuple[float, float]:
    """Return the limits of Clopper and Pearson (1934) where all images are right or none; of no images, 0 and 1."""
    if images == 0:
        return 0.0, 1.0
    return (0.0, _unseen(images)) if right == 0 else (1 - _unseen(images), 1.0)


def _unseen(images: float) -> float:
    """Return the upper limit of Clopper and Pearson (1934) of a share of which so many images hold none."""
    return 1 - LIMITS[0] ** (1 / images)


def _unvaried(value: float, images: float) -> Interval:
    """Return the interval of a score from 0 to 1 that no resample changes: all images are of one kind."""
    unseen = _unseen(images)
    return _interval(value, max(0.0, value - unseen), min(1.0, value + unseen))


def _percentiles(value: float, resampled: np.ndarray, lowest: float = 0.0, highest: float = 1.0) -> Interval:
    low, high = np.clip(np.quantile(resampled, LIMITS), lowest, highest)
    return _interval(value, min(low, value), max(high, value))


def _interval(value: float | None, low: float | None, high: float | None) -> Interval:
    return {
        name: None if number is None else float(number)
        for name, number in (("value", value), ("low", low), ("high", high))
    }
