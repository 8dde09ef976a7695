"""Pairs of classifiers on the same test fold: which are better than which, and what such a fold can tell at all."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

from unfreeze.evaluation import intervals
from unfreeze.records.verdict import Pair

SIGNIFICANCE = 0.05
POWER = 0.8
# Numbers of discordant images outside of this interval do not change a power's sixth digit.
PLAUSIBLE = 1 - 1e-8


def compare_pairs(
    labels: np.ndarray, predicted: Mapping[str, np.ndarray], *, seed: int, resamples: int = intervals.RESAMPLES
) -> list[Pair]:
    """Compare each classifier with each other by the exact McNemar test.

    The p-values are adjusted for the number of pairs: if all classifiers are equally good, the chance of any
    significant pair is at most 5 %.

    Args:
        labels: Class numbers, shape (images,).
        predicted: Class numbers, shape (images,), by the classifier's name.
        seed: Seed of the intervals' resamples.
        resamples: How many.

    Returns:
        Every two classifiers, in the order of the names.
    """
    correct = {name: numbers == labels for name, numbers in predicted.items()}
    names = list(combinations(correct, 2))
    if not names:
        return []
    only = np.array([_count_only(correct[first], correct[second]) for first, second in names])
    p_values = compute_p_values(only[:, 0], only[:, 1])
    adjusted = adjust_p_values(p_values)
    return [
        Pair(
            first=first,
            second=second,
            difference=intervals.estimate_difference(
                labels, correct[first], correct[second], seed=seed, resamples=resamples
            ),
            only_first=int(only_first),
            only_second=int(only_second),
            p_value=float(p_value),
            adjusted_p_value=float(adjusted_p_value),
            significant=bool(adjusted_p_value < SIGNIFICANCE),
        )
        for (first, second), (only_first, only_second), p_value, adjusted_p_value in zip(
            names, only, p_values, adjusted, strict=True
        )
    ]


def compute_p_values(only_first: np.ndarray, only_second: np.ndarray) -> np.ndarray:
    """Return p-values of the exact McNemar test: the two-sided binomial test of equal shares.

    Args:
        only_first: Images that the first classifier alone has right, of each pair.
        only_second: The same of the second.

    Returns:
        0 to 1 for each pair; 1 where the two are right on the same images.
    """
    fewer, both = np.minimum(only_first, only_second), only_first + only_second
    return np.asarray(np.minimum(1.0, 2 * binom.cdf(fewer, both, 0.5)))


def adjust_p_values(p_values: np.ndarray) -> np.ndarray:
    """Adjust p-values for their number (Holm 1979, A simple sequentially rejective multiple test procedure).

    The least is multiplied by their number, the next by one less, and so on; none is below one that came before.
    statsmodels does the same, but takes two seconds to import and collects garbage, 0.1 s, at each call.

    Args:
        p_values: Shape (tests,).

    Returns:
        Adjusted p-values in the same order, at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.asarray(np.minimum(adjusted, 1.0))


def measure_discordant_share(labels: np.ndarray, predicted: Mapping[str, np.ndarray]) -> float:
    """Return the share of images that one of two classifiers alone has right, the median over pairs.

    Args:
        labels: Class numbers, shape (images,).
        predicted: Class numbers, shape (images,), by the classifier's name; one classifier or more.

    Returns:
        0 to 1. For a single classifier the share that another of its accuracy would have if its mistakes had nothing
        to do with the first one's.
    """
    correct = [numbers == labels for numbers in predicted.values()]
    if len(correct) == 1:
        accuracy = correct[0].mean()
        return float(2 * accuracy * (1 - accuracy))
    return float(np.median([(first != second).mean() for first, second in combinations(correct, 2)]))


def find_smallest_difference(images: int, discordant: float, *, pairs: int) -> float:
    """Return the smallest difference in accuracy that the exact McNemar test finds with 80 % power.

    The level is 0.05 / pairs, that of Holm's first step. The power is the unconditional one (Duffy 1984, Asymptotic
    and exact power for the McNemar test): the mean, over the number of discordant images that chance brings, of the
    power given that number. Connor 1987, Sample size for testing differences in proportions for the paired-sample
    design, approximates it by the normal distribution. Two classifiers differ by at most their discordant share:
    where a larger difference is needed, all discordant images are on one side.

    Args:
        images: Images of the test fold.
        discordant: Share of images that one of two classifiers alone has right, 0 to 1.
        pairs: Pairs that are compared; 0 counts as 1.

    Returns:
        0 to 1; 1 where the fold is too small to find any.
    """
    level = SIGNIFICANCE / max(pairs, 1)

    def lacking(gap: float) -> float:
        return _compute_power(gap, images, max(discordant, gap), level) - POWER

    return float(brentq(lacking, 1e-9, 1.0, xtol=1e-6)) if lacking(1.0) > 0 else 1.0


def _compute_power(gap: float, images: int, discordant: float, level: float) -> float:
    least, most = binom.interval(PLAUSIBLE, images, discordant)
    numbers = np.arange(least, most + 1)
    # The most images on the lesser side that are significant; below 0 where none are.
    critical = binom.ppf(level / 2, numbers, 0.5)
    critical -= 2 * binom.cdf(critical, numbers, 0.5) > level
    better = (1 + gap / discordant) / 2
    found = binom.cdf(critical, numbers, better) + binom.sf(numbers - critical - 1, numbers, better)
    return float(found @ binom.pmf(numbers, images, discordant))


def _count_only(first_correct: np.ndarray, second_correct: np.ndarray) -> tuple[int, int]:
    return int((first_correct & ~second_correct).sum()), int((second_correct & ~first_correct).sum())
