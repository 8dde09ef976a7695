"""Learning curves: how a probe's score grows with the training images, and what more of them would bring."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from unfreeze.features.pooled import Pooled
from unfreeze.features.probes import limit_to_one_thread, make_probe
from unfreeze.records.interval import Interval
from unfreeze.records.learning_curves import CurvePoint, LearningCurve, RecallPoint

# Shares of the training fold that probes learn from; half of it is among them, see `fold_deviation`.
SHARES = (0.1, 0.2, 0.5, 0.7, 1.0)
HALF, WHOLE = SHARES.index(0.5), SHARES.index(1.0)
# Draws of each share; the whole can be drawn in one way only.
REPEATS = 5
# Different images of a class that are needed, so that a tenth still holds two.
LEAST_IMAGES = 20
# With more training images a part of them tells the same, in a minute instead of many.
MOST_IMAGES = 12_000
RESAMPLES = 300
PERCENTILES = (2.5, 97.5)
# Validation images of a class below which nothing is said of its recall.
LEAST_SCORED = 10
# How often a class may be called needy by chance.
ERROR_RATE = 0.05
# Exponents that learning curves of images have lie between 0.07 and 0.5, and theory allows 1 (Hestness et al. 2017).
HIGHEST_EXPONENT = 1.0
LEAST_DEVIATION = 1e-3
# Gains in accuracy: what is too small to be worth the images, and how wide an interval may be to say anything.
HARDLY = 0.005
TOO_WIDE = 0.05


@dataclass(frozen=True)
class Draws:
    """What probes made of the validation fold.

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
    part = train.take(drawn(train, MOST_IMAGES / len(train), random))
    draws = scored(part, val, random)
    weights, picks = resampling(draws, val, random)
    once, each = np.ones((1, len(val))), [np.arange(len(right))[None] for right in draws.right]
    accuracy = mean_right(draws.right, once, each)[0]
    resampled = mean_right(draws.right, weights, picks)
    # Another training fold would move all points alike.
    moved = resampled + random.normal(0, fold_deviation(draws), (RESAMPLES, 1))
    lows, highs = bounds(accuracy, moved, len(val))

    gain = gain_from_doubling(draws.images, accuracy, resampled, len(train) / len(part), random)

    recalls, rises, again = {}, {}, {}
    for number, name in enumerate(val.classes):
        own = val.labels == number
        recalls[name] = mean_right(draws.right, once * own, each)[0]
        if own.sum() >= LEAST_SCORED:
            rises[name] = float(recalls[name][WHOLE] - recalls[name][HALF])
            of_class = mean_right(draws.right, weights * own, picks)
            again[name] = of_class[:, WHOLE] - of_class[:, HALF]
    neediest = neediest_of(rises, again)

    images = [round(count) for count in draws.images.tolist()]
    return LearningCurve(
        points=tuple(
            CurvePoint(images=count, accuracy=_rounded(value), low=_rounded(low), high=_rounded(high))
            for count, value, low, high in zip(images, accuracy, lows, highs, strict=True)
        ),
        classes={
            name: tuple(
                # The validation fold may lack a class.
                RecallPoint(images=count, recall=None if np.isnan(value) else _rounded(value))
                for count, value in zip(images, of_class, strict=True)
            )
            for name, of_class in recalls.items()
        },
        gain_from_doubling=gain,
        neediest_class=neediest,
        text=told(gain, neediest, len(part), len(train)),
    )


def drawn(images: Pooled, share: float, random: np.random.Generator) -> np.ndarray:
    """Draw a share of each class, groups as a whole.

    Args:
        images: The images.
        share: How much of each class, by images; 1 and above are all.
        random: Where the draw comes from.

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


def scored(train: Pooled, val: Pooled, random: np.random.Generator) -> Draws:
    """Train probes on draws of each share and tell which validation images each gets right."""
    counts, right = [], []
    with limit_to_one_thread():
        for share in SHARES:
            rows = [drawn(train, share, random) for _ in range(REPEATS if share < 1 else 1)]
            probes = [make_probe().fit(train.vectors[own], train.labels[own]) for own in rows]
            counts.append(np.mean([len(own) for own in rows]))
            right.append(np.stack([trained.predict(val.vectors) == val.labels for trained in probes]))
    return Draws(np.array(counts), right)


def resampling(draws: Draws, val: Pooled, random: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
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


def mean_right(right: list[np.ndarray], weights: np.ndarray, picks: list[np.ndarray]) -> np.ndarray:
    """Return the share of images that are right, of shape (resamples, shares); NaN where no image counts."""
    columns = []
    with np.errstate(invalid="ignore"):
        for of_share, pick in zip(right, picks, strict=True):
            by_draw = weights @ of_share.T / weights.sum(axis=1, keepdims=True)
            columns.append(np.take_along_axis(by_draw, pick, axis=1).mean(axis=1))
    return np.stack(columns, axis=1)


def fold_deviation(draws: Draws) -> float:
    """Return by how much the accuracy would vary from training fold to training fold, one deviation.

    Halves of a fold vary among each other as whole folds do: the delete-d jackknife with half of them deleted
    (Shao & Wu 1989).
    """
    return float(draws.right[HALF].mean(axis=1).std(ddof=1))


def bounds(accuracy: np.ndarray, resampled: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 95 % intervals of accuracies.

    Args:
        accuracy: One a share.
        resampled: The same of each resample.
        images: Number of validation images.
    """
    low, high = np.percentile(resampled, PERCENTILES, axis=0)
    # Resampling knows no mistake that it has not seen: without it a perfect score would be certain.
    least, most = proportion_confint(accuracy * images, images, method="wilson")
    return np.clip(np.minimum(low, least), 0, 1), np.clip(np.maximum(high, most), 0, 1)


def gain_from_doubling(
    images: np.ndarray, accuracy: np.ndarray, resampled: np.ndarray, times: float, random: np.random.Generator
) -> Interval:
    """Tell by a power law what twice the images would bring.

    Args:
        images: Training images of each share.
        accuracy: Of probes on so many.
        resampled: The same of each resample, shape (resamples, shares).
        times: How many times the images of the whole share there are.
        random: Where resampling comes from.

    Returns:
        The gain in accuracy.
    """
    deviations = resampled.std(axis=0)
    law = fitted(images, accuracy, deviations)
    laws = []
    for row in resampled:
        # A law that holds does so without any one of the smaller shares; how far it does not is part of the doubt.
        kept = np.arange(len(images)) != random.integers(0, WHOLE)
        laws.append(fitted(images[kept], row[kept], deviations[kept], law))
    low, high = np.percentile([doubled(other, times) for other in laws], PERCENTILES)
    # A curve that has not bent yet, near chance, follows no such law: the next doubling may bring what the last did.
    last = resampled[:, WHOLE] - resampled[:, HALF]
    if np.percentile(last - [doubled(other, 0.5) for other in laws], PERCENTILES[0]) > 0:
        high = max(high, np.percentile(last, PERCENTILES[1]))
    value = doubled(law, times)
    return Interval(value=_rounded(value), low=_rounded(min(low, value)), high=_rounded(max(high, value)))


def power_law(images: np.ndarray, floor: float, reducible: float, exponent: float) -> np.ndarray:
    """Return the error at so many times the images of the whole (Cortes et al. 1993; Hestness et al. 2017)."""
    return floor + reducible * images**-exponent


def fitted(
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
        power_law,
        times,
        error,
        p0=[error[-1] / 2, error[-1] / 2, HIGHEST_EXPONENT / 2] if start is None else start,
        # What comes next is drawn on from the last points, so they count more. No deviation may be 0: that of a
        # fold without a mistake is.
        sigma=np.maximum(deviations, LEAST_DEVIATION) / times,
        bounds=([0, 0, 0], [1, 1, HIGHEST_EXPONENT]),
        max_nfev=10_000,
    )
    return np.asarray(law)


def doubled(law: np.ndarray, times: float) -> float:
    """Return how much the error falls from so many times the whole to twice that."""
    before, after = power_law(np.array([times, 2 * times]), *law)
    return float(before - after)


def neediest_of(rises: dict[str, float], resampled: dict[str, np.ndarray]) -> str | None:
    """Return the class whose recall rises most, among those where it rises by more than chance.

    Args:
        rises: From half of the images to all, class by class.
        resampled: The same of each resample.
    """
    # Each of many classes has its chance, so each must be surer (Bonferroni).
    surely = norm.isf(ERROR_RATE / max(len(rises), 1))
    sure = [name for name, rise in rises.items() if rise > surely * np.nanstd(resampled[name])]
    return max(sure, key=lambda name: rises[name], default=None)


def told(gain: Interval, neediest: str | None, used: int, images: int) -> str:
    """Say in words what twice the images would bring.

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


def _rounded(value: float) -> float:
    return round(float(value), 4)
