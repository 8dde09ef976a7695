from typing import Any

import pytest

from unfreeze.evaluation import ranking
from unfreeze.records.costs import TrainingCost
from unfreeze.records.interval import Interval
from unfreeze.records.verdict import Pair, Ranking, Row


def interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


def row(name: str, accuracy: float, billions: float = 2.0, **others: Any) -> Row:
    right = round(400 * accuracy)
    gain = None if name == "from_scratch" else interval(accuracy - 0.7, accuracy - 0.75, accuracy - 0.65)
    given = {
        "backbone": name,
        "weights": "imagenet",
        "scores": {"accuracy": interval(accuracy, accuracy - 0.02, accuracy + 0.01)},
        "gain": gain,
        "confusion": ((right, 400 - right), (400 - right, right)),
        "cost": TrainingCost.model_construct(multiply_accumulates=round(billions * 1e9)),
    }
    return Row.model_construct(**{**given, **others})


def pair(first: str, second: str, *, significant: bool) -> Pair:
    return Pair.model_construct(first=first, second=second, significant=significant)


XCEPTION, VGG16, SCRATCH = row("xception", 0.96), row("vgg16", 0.955, 0.8), row("from_scratch", 0.7, 0.1)
PAIRS = [
    pair("vgg16", "xception", significant=False),
    pair("xception", "from_scratch", significant=True),
    pair("vgg16", "from_scratch", significant=True),
]


def test_the_best_those_as_good_and_the_cheaper_of_them() -> None:
    assert ranking.rank([XCEPTION, VGG16, SCRATCH], PAIRS, 0.02, baseline="from_scratch") == Ranking(
        best="xception",
        as_good=("vgg16",),
        cheaper=("vgg16",),
        text="xception is best, with 96.0 % of 800 test images right (94.0 to 97.0 %), +26.0 points over "
        "from_scratch (+21.0 to +31.0). vgg16 is as good as far as can be told: a test fold of this size shows "
        "differences from about 2.0 points on. vgg16 (0.80 instead of 2.00 billion multiply-accumulates "
        "an image) is cheaper at the same score.",
    )


def test_what_is_cheaper_and_worse_is_not_cheaper_at_the_same_score() -> None:
    found = ranking.rank(
        [XCEPTION, SCRATCH], [pair("xception", "from_scratch", significant=True)], 0.02, baseline="from_scratch"
    )
    assert (found.as_good, found.cheaper) == ((), ())
    assert "All others are worse by more than chance; a test fold of this size shows differences" in found.text


@pytest.mark.parametrize(("billions", "cheaper"), [(2.4, ()), (1.9, ()), (1.2, ("b",))])
def test_a_few_percent_are_not_cheaper(billions: float, cheaper: tuple[str, ...]) -> None:
    rows = [row("a", 0.9), row("b", 0.9, billions)]
    found = ranking.rank(rows, [pair("a", "b", significant=False)], 0.02, baseline="from_scratch")
    assert found.cheaper == cheaper


def test_a_gain_that_may_be_chance_is_said_to_be() -> None:
    best = row("a", 0.72, gain=interval(0.02, -0.01, 0.05))
    rows = [best, SCRATCH]
    text = ranking.rank(rows, [pair("a", "from_scratch", significant=False)], 0.04, baseline="from_scratch").text
    assert "+2.0 points over from_scratch (-1.0 to +5.0), which may be chance." in text
    assert "from_scratch is as good as far as can be told" in text


def test_a_baseline_that_is_best_shows_that_transfer_brings_nothing() -> None:
    rows = [row("from_scratch", 0.9), row("a", 0.6)]
    text = ranking.rank(rows, [pair("from_scratch", "a", significant=True)], 0.04, baseline="from_scratch").text
    assert "it is the baseline, so nothing is gained by transfer." in text


def test_random_weights_are_no_measure_of_transfer() -> None:
    rows = [XCEPTION, row("vgg16", 0.5, weights="RANDOM"), row("resnet50", 0.5, weights="RANDOM")]
    pairs = [pair("xception", name, significant=True) for name in ("vgg16", "resnet50")]
    text = ranking.rank(rows, pairs, 0.02, baseline="from_scratch").text
    assert text.endswith("Scores with RANDOM weights are no measure of transfer: vgg16 and resnet50.")


def test_a_backbone_alone_is_the_best_of_nothing() -> None:
    found = ranking.rank([row("a", 0.9, gain=None)], [], 1.0, baseline="from_scratch")
    assert found == Ranking(
        best="a",
        as_good=(),
        cheaper=(),
        text="a has 90.0 % of 800 test images right (88.0 to 91.0 %). No other backbone was tried; a test fold of "
        "this size shows no difference at all.",
    )
