"""Whether a challenger should take the champion's place: promote, keep, or cannot tell."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import norm

from unfreeze.evaluation import intervals, pairs
from unfreeze.evaluation.metric_registry import list_metrics, require_metrics
from unfreeze.records.interval import Interval
from unfreeze.records.judgement_record import ClassRecalls, Comparison, Flip, Outcome
from unfreeze.settings.study import Promote

PROMOTE: Outcome = "promote"
KEEP: Outcome = "keep"
CANNOT_TELL: Outcome = "cannot tell"
NOT_COMPARABLE: Outcome = "not comparable"

# Cheaper means at most 0.8x the champion's latency or size; repeat medians differ by less.
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
        scores: Scores on the test images by metric; None where they do not define it.
    """

    predicted: np.ndarray
    size_mb: float
    latency_ms: float
    scores: Mapping[str, float | None] = field(default_factory=dict)


def judge(
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    champion: Contender,
    challenger: Contender,
    terms: Promote,
    seed: int,
    resamples: int = intervals.RESAMPLES,
) -> Comparison:
    """Judge a challenger by its scores on the champion's own test images.

    A challenger that breaks a limit of the terms is not promoted. One that is better is (the paired interval of
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
        The verdict: promote, keep or cannot tell.
    """
    champion_right, challenger_right = champion.predicted == labels, challenger.predicted == labels
    difference = intervals.estimate_difference(
        labels, challenger_right, champion_right, seed=seed, resamples=resamples
    )
    recalls = {
        name: _compare_recalls(labels == number, champion_right, challenger_right)
        for number, name in enumerate(classes)
    }
    broken = find_broken_limits(
        terms,
        size_mb=challenger.size_mb,
        latency_ms=challenger.latency_ms,
        recalls={name: of_class.challenger for name, of_class in recalls.items()},
    ) + find_missed_floors(terms.floors, challenger.scores)
    discordant = float((champion_right != challenger_right).mean())
    return Comparison(
        **_decide(broken, difference, champion, challenger, terms, images=len(labels), discordant=discordant),
        difference=difference,
        images=len(labels),
        classes=recalls,
    )


def _decide(
    broken: list[str],
    difference: Interval,
    champion: Contender,
    challenger: Contender,
    terms: Promote,
    *,
    images: int,
    discordant: float,
) -> dict[str, Any]:
    """Return the verdict, its reasons, and how many more images would tell."""
    verdict, reason = (KEEP, broken[0]) if broken else _weigh(difference, champion, challenger, terms)
    more = None
    if verdict == CANNOT_TELL:
        more = _count_more_images(images, abs(difference.value), discordant, terms.margin)
        reason = f"{reason}; about {more:,} more test images would likely tell"
    reasons = tuple(broken or [reason])
    return {"verdict": verdict, "reasons": reasons, "text": f"{verdict}: {'; '.join(reasons)}", "more_images": more}


def list_flips(
    ids: Sequence[str], labels: np.ndarray, classes: Sequence[str], *, champion: np.ndarray, challenger: np.ndarray
) -> list[Flip]:
    """Return the images whose predicted class changes: regressed ones first, then fixed ones.

    Args:
        ids: The images' identifiers.
        labels: Class numbers, shape (images,).
        classes: Class names by number.
        champion: Class numbers that the champion predicts.
        challenger: Class numbers that the challenger predicts.

    Returns:
        One entry an image; those that both get wrong come last.
    """
    changed = np.flatnonzero(champion != challenger).tolist()
    order = {False: 0, True: 1, None: 2}
    found = [
        Flip(
            id=ids[place],
            label=classes[labels[place]],
            champion=classes[champion[place]],
            challenger=classes[challenger[place]],
            better=_find_better(labels[place], champion[place], challenger[place]),
        )
        for place in changed
    ]
    return sorted(found, key=lambda flip: order[flip.better])


def find_broken_limits(
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


def find_missed_floors(floors: Mapping[str, float], scores: Mapping[str, float | None]) -> list[str]:
    """Return which floors a model misses, one sentence each.

    Args:
        floors: The worst score that is promoted, by metric.
        scores: The model's scores by metric.

    Raises:
        UnfreezeError: There is no such metric.
    """
    # Again after `validate`: a plugin that brought a metric may be gone since.
    require_metrics(floors, "promote.floors")
    metrics = {metric.name: metric for metric in list_metrics()}
    missed = []
    for name, floor in floors.items():
        score, metric = scores.get(name), metrics[name]
        if score is None or (score < floor if metric.higher_is_better else score > floor):
            wanted = "at least" if metric.higher_is_better else "at most"
            has = "is not defined" if score is None else f"is {score:.3f}"
            missed.append(f"its {metric.title} {has}, and {wanted} {floor:g} is wanted")
    return missed


# Simulations of many folds ask the same again and again.
@functools.lru_cache(maxsize=4096)
def count_images_needed(gap: float, discordant: float) -> int:
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
        images *= (pairs.find_smallest_difference(math.ceil(images), discordant, pairs=1) / gap) ** 2
    return int(min(math.ceil(images), MOST_IMAGES))


def _weigh(difference: Interval, champion: Contender, challenger: Contender, terms: Promote) -> tuple[Outcome, str]:
    low, high = difference.low, difference.high
    told = f"{_format_points(difference.value)} points ({_format_points(low)} to {_format_points(high)})"
    margin = f"{100 * terms.margin:g} points"
    if low > 0:
        return PROMOTE, f"it is better by {told}"
    if low > -terms.margin and _is_cheaper(challenger, champion):
        return (
            PROMOTE,
            f"it costs less ({_describe_costs(challenger, champion)}) and loses less than {margin}: {told}",
        )
    if high < 0:
        return KEEP, f"it is worse: {told}"
    if low > -terms.margin and high < terms.margin:
        return KEEP, f"it differs by less than {margin} and costs no less: {told}"
    return CANNOT_TELL, f"it may be better or worse: {told}"


def _is_cheaper(challenger: Contender, champion: Contender) -> bool:
    latency, size = challenger.latency_ms / champion.latency_ms, challenger.size_mb / champion.size_mb
    return min(latency, size) <= CLEARLY_LESS and max(latency, size) <= NO_MORE


def _describe_costs(challenger: Contender, champion: Contender) -> str:
    return (
        f"{challenger.latency_ms:.1f} ms for {champion.latency_ms:.1f}, "
        f"{challenger.size_mb:.1f} MB for {champion.size_mb:.1f}"
    )


def _count_more_images(images: int, gap: float, discordant: float, margin: float) -> int:
    needed = count_images_needed(max(gap, margin), discordant)
    if needed <= images:
        # The margin would be found already, but what was observed is smaller.
        needed = count_images_needed(max(gap, 1 / MOST_IMAGES), discordant)
    return max(needed - images, 1)


def _find_better(label: int, champion: int, challenger: int) -> bool | None:
    return None if label not in (champion, challenger) else bool(challenger == label)


def _compare_recalls(members: np.ndarray, champion_right: np.ndarray, challenger_right: np.ndarray) -> ClassRecalls:
    return ClassRecalls(
        champion=_share(champion_right[members]),
        challenger=_share(challenger_right[members]),
        support=int(members.sum()),
    )


def _share(correct: np.ndarray) -> float | None:
    return float(correct.mean()) if len(correct) else None


def _format_points(share: float) -> str:
    return f"{100 * share:+.1f}"
