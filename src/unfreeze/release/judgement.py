"""Whether a challenger should take the champion's place: promote, keep, or cannot tell."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import norm

from unfreeze.evaluation import intervals, pairs
from unfreeze.settings.study import Promote

Verdict = Literal["promote", "keep", "cannot tell"]
PROMOTE: Verdict = "promote"
KEEP: Verdict = "keep"
CANNOT_TELL: Verdict = "cannot tell"

# Of the champion's latency or size: more than medians of latency differ by chance, and worth a change.
CLEARLY_LESS = 0.8
# Medians of one model's latency, measured twice, differ by some per cent.
NO_MORE = 1.05
# The normal approximation of the power is right to 1 % from here on, and the exact one takes long.
FEW_IMAGES = 100_000
# Nobody labels more than that.
MOST_IMAGES = 10_000_000


@dataclass(frozen=True)
class Contender:
    """What a model says of the test images, and what it costs to run.

    Args:
        predicted: Class numbers, shape (images,).
        size_mb: Size of its file, MB.
        latency_ms: Median time of an answer on one image, milliseconds.
    """

    predicted: np.ndarray
    size_mb: float
    latency_ms: float


def judge(
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    champion: Contender,
    challenger: Contender,
    terms: Promote,
    seed: int,
    resamples: int = intervals.RESAMPLES,
) -> dict[str, Any]:
    """Judge a challenger by its scores on the champion's own test images.

    A challenger that breaks a limit of the terms is not promoted. One that is better is (the paired 95 % interval of
    the difference in accuracy is above 0), and so is one that is clearly cheaper and surely loses less than the
    margin: a test of non-inferiority, with the margin set beforehand (Piaggio et al. 2012, Reporting of
    noninferiority and equivalence randomized trials). If it is surely worse, or surely differs by less than the
    margin, the champion stays. In all other cases the images do not tell.

    Args:
        labels: Class numbers, shape (images,).
        classes: Class names by number.
        champion: The model in use.
        challenger: The one that may take its place.
        terms: Margin, floor and limits.
        seed: Seed of the interval's resamples.
        resamples: How many.

    Returns:
        `verdict` (promote, keep or cannot tell), `reasons` (a list of sentences), `text` (one sentence), `difference`
        (challenger's accuracy minus champion's: value, low, high), `images`, `more_images` (how many more would
        likely tell; None but for cannot tell), `accuracy` of both, and `classes`: by name, recall of champion and
        challenger, None where the fold has no such image, and `support`.
    """
    right = {"champion": champion.predicted == labels, "challenger": challenger.predicted == labels}
    difference = intervals.difference(labels, right["challenger"], right["champion"], seed=seed, resamples=resamples)
    recalls = {
        name: {
            **{who: _share(correct[labels == number]) for who, correct in right.items()},
            "support": int((labels == number).sum()),
        }
        for number, name in enumerate(classes)
    }
    broken = _broken_limits(challenger, recalls, terms)
    verdict, reason = (KEEP, broken[0]) if broken else _weighed(difference, champion, challenger, terms)
    more = None
    if verdict == CANNOT_TELL:
        discordant = float((right["champion"] != right["challenger"]).mean())
        more = _more_images(len(labels), abs(_value(difference, "value")), discordant, terms.margin)
        reason = f"{reason}; about {more:,} more test images would likely tell"
    return {
        "verdict": verdict,
        "reasons": broken or [reason],
        "text": f"{verdict}: {'; '.join(broken) or reason}",
        "difference": difference,
        "images": len(labels),
        "more_images": more,
        "accuracy": {who: float(correct.mean()) for who, correct in right.items()},
        "classes": recalls,
    }


def flips(
    ids: Sequence[str], labels: np.ndarray, classes: Sequence[str], *, champion: np.ndarray, challenger: np.ndarray
) -> list[dict[str, Any]]:
    """Return the images whose answer changes, those that the challenger gets wrong anew first.

    Args:
        ids: The images' identifiers.
        labels: Class numbers, shape (images,).
        classes: Class names by number.
        champion: Class numbers that the champion predicts.
        challenger: Class numbers that the challenger predicts.

    Returns:
        One dict an image: id, label, champion and challenger (class names), and better: True where only the
        challenger is right, False where only the champion is, None where both are wrong.
    """
    changed = np.flatnonzero(champion != challenger).tolist()
    order = {False: 0, True: 1, None: 2}
    found = [
        {
            "id": ids[place],
            "label": classes[labels[place]],
            "champion": classes[champion[place]],
            "challenger": classes[challenger[place]],
            "better": _better(labels[place], champion[place], challenger[place]),
        }
        for place in changed
    ]
    return sorted(found, key=lambda flip: order[flip["better"]])


def broken_limits(
    terms: Promote, *, size_mb: float, latency_ms: float, recalls: dict[str, float | None]
) -> list[str]:
    """Return which limits of the terms a model breaks, one sentence each.

    Args:
        terms: Floor and limits.
        size_mb: Size of the model's file, MB.
        latency_ms: Time of an answer on one image, milliseconds.
        recalls: Recall by class name; None where there is no image of the class.
    """
    below = {name: recall for name, recall in recalls.items() if recall is not None and recall < terms.class_floor}
    found = [
        f"it finds {100 * recall:.1f} % of class {name}, and {100 * terms.class_floor:g} % are wanted of each class"
        for name, recall in below.items()
    ]
    if size_mb > terms.max_size_mb:
        found.append(f"its file takes {size_mb:.1f} MB, more than the {terms.max_size_mb:g} MB allowed")
    if latency_ms > terms.max_latency_ms:
        found.append(f"an answer takes {latency_ms:.1f} ms, more than the {terms.max_latency_ms:g} ms allowed")
    return found


# Simulations of many folds ask the same again and again.
@functools.lru_cache(maxsize=4096)
def images_needed(gap: float, discordant: float) -> int:
    """Return how many images find a difference in accuracy with 80 % power, by the exact McNemar test.

    The normal approximation (Connor 1987, Sample size for testing differences in proportions for the paired-sample
    design) is up to 15 % too low for few images; one step by the exact power brings it to within 1 %.

    Args:
        gap: The difference, above 0.
        discordant: Share of images that one of the two models alone has right.

    Returns:
        At most 10 million.
    """

    discordant = max(discordant, gap)
    significant, powerful = norm.ppf(1 - pairs.SIGNIFICANCE / 2), norm.ppf(pairs.POWER)
    images = ((significant * discordant**0.5 + powerful * (discordant - gap**2) ** 0.5) / gap) ** 2
    if images < FEW_IMAGES:
        # What is found shrinks with the square root of the images.
        images *= (pairs.smallest_difference(math.ceil(images), discordant, pairs=1) / gap) ** 2
    return min(math.ceil(images), MOST_IMAGES)


def _weighed(
    difference: intervals.Interval, champion: Contender, challenger: Contender, terms: Promote
) -> tuple[Verdict, str]:
    low, high = _value(difference, "low"), _value(difference, "high")
    told = f"{_points(_value(difference, 'value'))} points ({_points(low)} to {_points(high)})"
    margin = f"{100 * terms.margin:g} points"
    if low > 0:
        return PROMOTE, f"it is better by {told}"
    if low > -terms.margin and _is_cheaper(challenger, champion):
        return PROMOTE, f"it costs less ({_costs(challenger, champion)}) and loses less than {margin}: {told}"
    if high < 0:
        return KEEP, f"it is worse: {told}"
    if low > -terms.margin and high < terms.margin:
        return KEEP, f"it differs by less than {margin} and costs no less: {told}"
    return CANNOT_TELL, f"it may be better or worse: {told}"


def _broken_limits(challenger: Contender, recalls: dict[str, dict[str, Any]], terms: Promote) -> list[str]:
    return broken_limits(
        terms,
        size_mb=challenger.size_mb,
        latency_ms=challenger.latency_ms,
        recalls={name: of_class["challenger"] for name, of_class in recalls.items()},
    )


def _is_cheaper(challenger: Contender, champion: Contender) -> bool:
    latency, size = challenger.latency_ms / champion.latency_ms, challenger.size_mb / champion.size_mb
    return min(latency, size) <= CLEARLY_LESS and max(latency, size) <= NO_MORE


def _costs(challenger: Contender, champion: Contender) -> str:
    return (
        f"{challenger.latency_ms:.1f} ms for {champion.latency_ms:.1f}, "
        f"{challenger.size_mb:.1f} MB for {champion.size_mb:.1f}"
    )


def _more_images(images: int, gap: float, discordant: float, margin: float) -> int:
    needed = images_needed(max(gap, margin), discordant)
    if needed <= images:
        # The margin would be found already, but what was observed is smaller.
        needed = images_needed(max(gap, 1 / MOST_IMAGES), discordant)
    return max(needed - images, 1)


def _better(label: int, champion: int, challenger: int) -> bool | None:
    return None if label not in (champion, challenger) else bool(challenger == label)


def _share(correct: np.ndarray) -> float | None:
    return float(correct.mean()) if len(correct) else None


def _value(interval: intervals.Interval, name: str) -> float:
    value = interval[name]
    assert value is not None
    return value


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
