import math

import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.models.backbone import Backbone
from unfreeze.models.table import find_row
from unfreeze.planning.networks import Wish, describe
from unfreeze.training.budget import Budget, estimate_epoch

NETWORK = Backbone(find_row("mobilenetv2"), 64)
BUDGET = Budget(None, 2000, 500, 32)


def test_a_deeper_point_takes_longer_and_more_images_do() -> None:
    taken = [BUDGET.estimate(NETWORK, point) for point in ("none", "block_16_expand", "block_12_expand", "all")]
    assert taken == sorted(taken)
    assert taken[0] > 0
    assert Budget(None, 4000, 1000, 32).estimate(NETWORK, "all") > 1.5 * taken[-1]


def test_the_work_behind_a_point_is_that_of_the_plan() -> None:
    network = describe(Wish(backbone="mobilenetv2", size=64, point="block_16_expand", candidates=("all",)))
    cut = network.at(network.point)
    expected = network.end.macs - cut.macs, network.end.trained_values - cut.trained_values
    assert NETWORK.count_work(NETWORK.find_cut("block_16_expand")) == expected


@pytest.mark.parametrize(
    ("name", "images_a_second"),
    [("mobilenetv2", 251.1), ("efficientnetv2b0", 159.4), ("xception", 37.0), ("resnet50", 42.0), ("vgg16", 13.9)],
)
def test_arithmetic_says_what_was_measured_or_up_to_three_tenths_more(name: str, images_a_second: float) -> None:
    # As benchmarks/peers.md has them for steps of whole networks, 128 pixels, float32, AVX-512.
    macs, values = Backbone(find_row(name), 128).count_work(0)
    seconds = estimate_epoch(macs, values, train=1000, val=0, batch_size=10**6)
    assert 1 <= seconds * images_a_second / 1000 < 1.3


def test_without_minutes_all_epochs_are_there() -> None:
    assert BUDGET.limit_epochs(NETWORK, [("all", 5)], "all", 30, trainings=3) == 30


def test_no_epochs_stay_none_where_trials_took_more_than_there_is() -> None:
    spent = Budget(0.001, 2000, 500, 32)
    assert spent.limit_epochs(NETWORK, [("all", 100)], "all", 0, trainings=1) == 0


def test_trials_and_seeds_take_from_the_epochs() -> None:
    one = BUDGET.estimate(NETWORK, "all")
    # Training may take half of it.
    budget = Budget(20 * one * 1.0001 / 60, 2000, 500, 32)
    assert budget.limit_epochs(NETWORK, [], "all", 30, trainings=1) == 10
    assert budget.limit_epochs(NETWORK, [("all", 1), ("all", 3)], "all", 30, trainings=1) == 6
    assert budget.limit_epochs(NETWORK, [("all", 1), ("all", 3)], "all", 30, trainings=3) == 2
    assert budget.limit_epochs(NETWORK, [], "all", 4, trainings=1) == 4


def test_a_budget_without_an_epoch_is_refused_with_the_setting() -> None:
    one = BUDGET.estimate(NETWORK, "all")
    budget = Budget(4 * one / 60, 2000, 500, 32)
    with pytest.raises(UnfreezeError, match=r"study.minutes=[\d.]+ leaves 0 s .* raise study.minutes") as refused:
        budget.limit_epochs(NETWORK, [("all", 2)], "all", 30, trainings=1)
    assert f"one epoch takes {math.floor(one + 0.5)} s" in str(refused.value)


def test_where_seeds_take_the_minutes_they_are_named() -> None:
    budget = Budget(4 * BUDGET.estimate(NETWORK, "all") / 60, 2000, 500, 32)
    with pytest.raises(UnfreezeError, match="one epoch of each of 3 seeds takes .* take fewer study.seeds"):
        budget.limit_epochs(NETWORK, [], "all", 30, trainings=3)


def test_trials_end_where_the_next_ones_could_leave_no_epoch() -> None:
    one = BUDGET.estimate(NETWORK, "all")
    # Training may take half of it: ten epochs.
    budget = Budget(20 * one * 1.0001 / 60, 2000, 500, 32)
    points = ("none", "all")
    assert budget.allows(NETWORK, [("all", 3)], points, 7)
    assert not budget.allows(NETWORK, [("all", 4)], points, 7)
    assert budget.allows(NETWORK, [("all", 4)], ("none",), 7)
    assert BUDGET.allows(NETWORK, [("all", 99)], points, 999), "no minutes, no limit"
