"""Learning curves: how a probe's score grows with the training images, and what more of them would bring."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from unfreeze.evaluation.intervals import LIMITS
from unfreeze.features.pooled import Pooled
from unfreeze.features.probes import limit_to_one_thread, make_probe
from unfreeze.records.interval import ALPHA, Interval
from unfreeze.records.learning_curves import CurvePoint, LearningCurve, RecallPoint

# Shares of the training fold that probes learn from; half of it is among them, see `estimate_fold_deviation`.
SHARES = (0.1, 0.2, 0.5, 0.7, 1.0)
HALF, WHOLE = SHARES.index(0.5), SHARES.index(1.0)
# Draws of each share; the whole fold is drawn once.
REPEATS = 5
# Different images of a class that are needed, so that a tenth still holds two.
LEAST_IMAGES = 20
# Larger folds are subsampled to this size: the same answer in a minute instead of many.
MOST_IMAGES = 12_000
RESAMPLES = 300
# Least validation images of a class for a statement on its recall.
LEAST_SCORED = 10
# Familywise false-positive rate for naming a class that needs more images.
ERROR_RATE = 0.05
# Exponents that learning curves of images have lie between 0.07 and 0.5, and theory allows 1 (Hestness et al. 2017).
HIGHEST_EXPONENT = 1.0
LEAST_DEVIATION = 1e-3
# Gains in accuracy: below HARDLY more images are not worth it; an interval wider than TOO_WIDE is inconclusive.
HARDLY = 0.005
TOO_WIDE = 0.05


@dataclass(frozen=True)
class Draws:
    """Predictions of probes on the validation fold.

    Args:
        images: Training images of each share; the mean over its draws.
        right: For each share a bool array of shape (draws, validation images).
    """

    images: np.ndarray
    right: list[np.ndarray]


def measure_learning_curve(train: Pooled, val: Pooled, *, seed: int) -> LearningCurve | None:
    """Train probes on growing parts of the training fold and score them on the validation fold.

    The test fold has no part in this. Parts hold the classes in the fold's shares, and groups as a whole.

    Args:
        train: The training fold; of more than `MOST_IMAGES` a part is taken.
        val: The validation fold.
        seed: Seed of the draws and of the resampling.

    Returns:
        The curve; None where a class has fewer than `LEAST_IMAGES` different training images.
    """
    if train.smallest_class < LEAST_IMAGES:
        return None
    random = np.random.default_rng(seed)
    part = train.take(draw_share(train, MOST_IMAGES / len(train), random))
    draws = score_draws(part, val, random)
    weights, picks = resample(draws, val, random)
    once, each = np.ones((1, len(val))), [np.arange(len(right))[None] for right in draws.right]
    accuracy = average_accuracy(draws.right, once, each)[0]
    resampled = average_accuracy(draws.right, weights, picks)
    # Another training fold would move all points alike.
    moved = resampled + random.normal(0, estimate_fold_deviation(draws), (RESAMPLES, 1))
    lows, highs = bound_accuracy(accuracy, moved, len(val))

    whole = train.fold_sizes["train"]
    gain = estimate_gain(draws.images, accuracy, resampled, whole / len(part), random)

    recalls = {name: average_accuracy(draws.right, once * own, each)[0] for name, own in _list_members(val)}
    neediest = _find_neediest(draws, val, recalls, weights, picks)
    images = [round(count) for count in draws.images.tolist()]
    return LearningCurve(
        points=tuple(
            CurvePoint(images=count, accuracy=_round(value), low=_round(low), high=_round(high))
            for count, value, low, high in zip(images, accuracy, lows, highs, strict=True)
        ),
        classes={name: _list_recalls(images, of_class) for name, of_class in recalls.items()},
        gain_from_doubling=gain,
        neediest_class=neediest,
        text=describe_gain(gain, neediest, len(part), whole),
    )


def _list_recalls(images: list[int], recalls: np.ndarray) -> tuple[RecallPoint, ...]:
    """Return the recall of a class by number of training images; None where the validation fold lacks the class."""
    return tuple(
        RecallPoint(images=count, recall=None if np.isnan(value) else _round(value))
        for count, value in zip(images, recalls, strict=True)
    )


def _list_members(val: Pooled) -> list[tuple[str, np.ndarray]]:
    """Return each class with whether an image of the fold belongs to it."""
    return [(name, val.labels == number) for number, name in enumerate(val.classes)]


def _find_neediest(
    draws: Draws, val: Pooled, recalls: dict[str, np.ndarray], weights: np.ndarray, picks: list[np.ndarray]
) -> str | None:
    """Return the class whose recall still rises most from half of the images to all, by more than chance."""
    rises, resampled = {}, {}
    for name, own in _list_members(val):
        if own.sum() >= LEAST_SCORED:
            rises[name] = float(recalls[name][WHOLE] - recalls[name][HALF])
            of_class = average_accuracy(draws.right, weights * own, picks)
            resampled[name] = of_class[:, WHOLE] - of_class[:, HALF]
    return find_neediest_class(rises, resampled)


def draw_share(images: Pooled, share: float, random: np.random.Generator) -> np.ndarray:
    """Draw a share of each class, groups as a whole.

    Args:
        images: The images.
        share: How much of each class, by images; 1 and above are all.
        random: Random stream.

    Returns:
        Row numbers, ascending. A group counts to the class of its first image.
    """
    _, firsts, group_of = np.unique(images.groups, return_index=True, return_inverse=True)
    sizes, label_of = np.bincount(group_of), images.labels[firsts]
    taken = []
    for label in np.unique(label_of):
        own = random.permutation(np.flatnonzero(label_of == label))
        before = np.cumsum(sizes[own]) - sizes[own]
        taken.append(own[before < share * sizes[own].sum()])
    return np.flatnonzero(np.isin(group_of, np.concatenate(taken)))


def score_draws(train: Pooled, val: Pooled, random: np.random.Generator) -> Draws:
    """Train probes on draws of each share, and return which validation images each classifies correctly."""
    counts, right = [], []
    with limit_to_one_thread():
        for share in SHARES:
            rows = [draw_share(train, share, random) for _ in range(REPEATS if share < 1 else 1)]
            probes = [make_probe().fit(train.vectors[own], train.labels[own]) for own in rows]
            counts.append(np.mean([len(own) for own in rows]))
            right.append(np.stack([trained.predict(val.vectors) == val.labels for trained in probes]))
    return Draws(np.array(counts), right)


def resample(draws: Draws, val: Pooled, random: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Resample the validation fold by groups, and the draws of each share, with replacement.

    Returns:
        How often each validation image counts, of shape (resamples, images), the same for all shares; and for each
        share which draws count, of shape (resamples, draws).
    """
    _, group_of = np.unique(val.groups, return_inverse=True)
    groups = group_of.max() + 1
    counts = random.multinomial(groups, np.full(groups, 1 / groups), RESAMPLES)
    picks = [random.integers(0, len(right), (RESAMPLES, len(right))) for right in draws.right]
    return counts[:, group_of].astype(float), picks


def average_accuracy(right: list[np.ndarray], weights: np.ndarray, picks: list[np.ndarray]) -> np.ndarray:
    """Return the share of images that are right, of shape (resamples, shares); NaN where no image counts."""
    columns = []
    with np.errstate(invalid="ignore"):
        for of_share, pick in zip(right, picks, strict=True):
            by_draw = weights @ of_share.T / weights.sum(axis=1, keepdims=True)
            columns.append(np.take_along_axis(by_draw, pick, axis=1).mean(axis=1))
    return np.stack(columns, axis=1)


def estimate_fold_deviation(draws: Draws) -> float:
    """Return by how much the accuracy would vary from training fold to training fold, one deviation.

    Halves of a fold vary among each other as whole folds do: the delete-d jackknife with half of them deleted
    (Shao & Wu 1989).
    """
    return float(draws.right[HALF].mean(axis=1).std(ddof=1))


def bound_accuracy(accuracy: np.ndarray, resampled: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return intervals of accuracies.

    Args:
        accuracy: One a share.
        resampled: The same of each resample.
        images: Number of validation images.
    """
    low, high = np.quantile(resampled, LIMITS, axis=0)
    # With 0 errors the bootstrap interval has width 0; use Wilson's limits as a floor.
    least, most = proportion_confint(accuracy * images, images, ALPHA, method="wilson")
    return np.clip(np.minimum(low, least), 0, 1), np.clip(np.maximum(high, most), 0, 1)


def estimate_gain(
    images: np.ndarray, accuracy: np.ndarray, resampled: np.ndarray, times: float, random: np.random.Generator
) -> Interval:
    """Estimate by a power law how much accuracy twice the images would gain.

    Args:
        images: Training images of each share.
        accuracy: Of probes on so many.
        resampled: The same of each resample, shape (resamples, shares).
        times: How many times the images of the whole share there are.
        random: Random stream.

    Returns:
        The gain in accuracy.
    """
    deviations = resampled.std(axis=0)
    law = fit_power_law(images, accuracy, deviations)
    laws = []
    for row in resampled:
        # Leave one random share out of each refit, so that model misfit widens the interval (jackknife).
        kept = np.arange(len(images)) != random.integers(0, WHOLE)
        laws.append(fit_power_law(images[kept], row[kept], deviations[kept], law))
    low, high = np.quantile([predict_gain(other, times) for other in laws], LIMITS)
    # Near chance level the power law does not hold yet; then use the last observed gain as the upper bound.
    last = resampled[:, WHOLE] - resampled[:, HALF]
    if np.quantile(last - [predict_gain(other, 0.5) for other in laws], LIMITS[0]) > 0:
        high = max(high, np.quantile(last, LIMITS[1]))
    value = predict_gain(law, times)
    return Interval(value=_round(value), low=_round(min(low, value)), high=_round(max(high, value)))


def predict_error(images: np.ndarray, floor: float, reducible: float, exponent: float) -> np.ndarray:
    """Return the error at so many times the images of the whole (Cortes et al. 1993; Hestness et al. 2017)."""
    return floor + reducible * images**-exponent


def fit_power_law(
    images: np.ndarray, accuracy: np.ndarray, deviations: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """Fit the power law.

    Args:
        images: Training images, the whole last.
        accuracy: At so many.
        deviations: How far each accuracy may be off; what varies less counts more.
        start: A law that lies near.

    Returns:
        The law's floor, reducible error and exponent.
    """
    times, error = images / images[-1], 1 - accuracy
    law, _ = curve_fit(
        predict_error,
        times,
        error,
        p0=[error[-1] / 2, error[-1] / 2, HIGHEST_EXPONENT / 2] if start is None else start,
        # The extrapolation depends on the last points most, so they weigh more. A fold without a mistake has
        # deviation 0, which curve_fit cannot weigh.
        sigma=np.maximum(deviations, LEAST_DEVIATION) / times,
        bounds=([0, 0, 0], [1, 1, HIGHEST_EXPONENT]),
        max_nfev=10_000,
    )
    return np.asarray(law)


def predict_gain(law: np.ndarray, times: float) -> float:
    """Return how much the error falls from so many times the whole to twice that."""
    before, after = predict_error(np.array([times, 2 * times]), *law)
    return float(before - after)


def find_neediest_class(rises: dict[str, float], resampled: dict[str, np.ndarray]) -> str | None:
    """Return the class whose recall rises most, among those where it rises by more than chance.

    Args:
        rises: From half of the images to all, class by class.
        resampled: The same of each resample.
    """
    # Bonferroni, for the number of classes.
    surely = norm.isf(ERROR_RATE / max(len(rises), 1))
    sure = [name for name, rise in rises.items() if rise > surely * np.nanstd(resampled[name])]
    return max(sure, key=lambda name: rises[name], default=None)


def describe_gain(gain: Interval, neediest: str | None, used: int, images: int) -> str:
    """Return in words how much accuracy twice the images would gain.

    Args:
        gain: In accuracy, with its interval.
        neediest: The class that gains most, if one does.
        used: Training images that probes learnt from.
        images: Training images there are.
    """
    value, low, high = (f"{100 * share:.1f}" for share in (gain.value, gain.low, gain.high))
    if gain.high - gain.low > TOO_WIDE:
        text = f"What twice the images would bring cannot be told from so few: between +{low} and +{high} points"
    elif gain.value < HARDLY:
        text = (
            f"More images of this kind would hardly help: twice as many would bring +{value} points ({low} to {high})"
        )
    else:
        text = f"Twice the images would bring about +{value} points ({low} to {high})"
    text += f", most in {neediest}." if neediest else "."
    return text + (f" Judged by {used:,} of {images:,} training images." if used < images else "")


def _round(value: float) -> float:
    return round(float(value), 4)
