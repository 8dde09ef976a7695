"""Ranking: which backbone to take, as far as the test fold can tell."""

from collections.abc import Sequence

from unfreeze.records.pretrained_weights import RANDOM
from unfreeze.records.verdict import Pair, Ranking, Row

# Least relative saving that counts as cheaper. Cost is compared by multiply-adds, not by latency, so that the verdict
# does not depend on machine load.
LEAST_SAVING = 0.1


def rank(rows: Sequence[Row], pairs: Sequence[Pair], smallest_difference: float, *, baseline: str) -> Ranking:
    """Name the best backbone, those as good, and the cheaper of them.

    Args:
        rows: One a backbone, the best accuracy first.
        pairs: The paired tests of all backbones, adjusted for their number.
        smallest_difference: Of accuracy, that such a test would find.
        baseline: The backbone that gains are counted from.

    Returns:
        The names, and the same in words.
    """
    best = rows[0]
    differ = {frozenset((pair.first, pair.second)): pair.significant for pair in pairs}
    as_good = [row for row in rows[1:] if not differ[frozenset((best.backbone, row.backbone))]]
    cheaper = [row for row in as_good if _describe_saving(row, best)]
    sentences = [
        _praise_best(best, baseline, alone=len(rows) == 1),
        _describe_others(as_good, smallest_difference, alone=len(rows) == 1),
        *([_describe_costs(cheaper, best)] if cheaper else []),
        *_warn_of_random([row.backbone for row in rows if row.weights == RANDOM]),
    ]
    return Ranking(
        best=best.backbone,
        as_good=tuple(row.backbone for row in as_good),
        cheaper=tuple(row.backbone for row in cheaper),
        text=" ".join(sentences),
    )


def _praise_best(best: Row, baseline: str, *, alone: bool) -> str:
    accuracy, gain = best.accuracy, best.gain
    images = sum(map(sum, best.confusion))
    value, low, high = (f"{100 * share:.1f}" for share in (accuracy.value, accuracy.low, accuracy.high))
    has = "has" if alone else "is best, with"
    text = f"{best.backbone} {has} {value} % of {images:,} test images right ({low} to {high} %)"
    if best.backbone == baseline and not alone:
        return f"{text}; it is the baseline, so nothing is gained by transfer."
    if gain is None:
        return f"{text}."
    value, low, high = (f"{100 * share:+.1f}" for share in (gain.value, gain.low, gain.high))
    sure = "" if gain.low > 0 else ", which may be chance"
    return f"{text}, {value} points over {baseline} ({low} to {high}){sure}."


def _describe_others(as_good: Sequence[Row], smallest_difference: float, *, alone: bool) -> str:
    shown = (
        "a test fold of this size shows no difference at all"
        if smallest_difference >= 1
        else f"a test fold of this size shows differences from about {100 * smallest_difference:.1f} points on"
    )
    if alone:
        return f"No other backbone was tried; {shown}."
    if not as_good:
        return f"All others are worse by more than chance; {shown}."
    names = _list_in_words([row.backbone for row in as_good])
    return f"{names} {_choose_verb(as_good)} as good as far as can be told: {shown}."


def _describe_costs(cheaper: Sequence[Row], best: Row) -> str:
    costs = _list_in_words([f"{row.backbone} ({_describe_saving(row, best)})" for row in cheaper])
    return f"{costs} {_choose_verb(cheaper)} cheaper at the same score."


def _warn_of_random(names: list[str]) -> list[str]:
    if not names:
        return []
    return [f"Scores with {RANDOM} weights are no measure of transfer: {_list_in_words(names)}."]


def _describe_saving(row: Row, best: Row) -> str:
    """Return what a backbone computes instead of the best one, in words; nothing where it is no less."""
    less, more = (of.cost.multiply_accumulates / 1e9 for of in (row, best))
    if less > (1 - LEAST_SAVING) * more:
        return ""
    return f"{less:.2f} instead of {more:.2f} billion multiply-accumulates an image"


def _choose_verb(rows: Sequence[Row]) -> str:
    return "is" if len(rows) == 1 else "are"


def _list_in_words(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
