"""Where a backbone is cut when room is short."""

import numpy as np
import pytest

from tests.conftest import SETTINGS
from unfreeze.features.extraction import choose_plan
from unfreeze.features.plan import Fold, Plan


def plan(position: int, channels: int) -> Plan:
    """Plan 10 rows of so many channels in half precision."""
    return Plan(
        position=position,
        row_shape=(channels,),
        dtype="float16",
        train=Fold(np.arange(8), np.zeros(8), np.ones(8)),
        val=Fold(np.arange(8, 10), np.zeros(2), np.ones(2)),
        classes=2,
        determined_by={"cut": f"layer{position}"},
        settings=SETTINGS,
    )


@pytest.mark.parametrize(
    ("sizes", "room", "position", "stored"),
    [
        ([50, 10, 30], 600, 2, True),
        ([50, 10, 30], 599, 1, True),
        ([10, 20, 30], 400, 1, True),
        ([50, 40, 30], 599, 2, False),
    ],
    ids=["it fits", "an earlier one fits", "the last that fits", "none fits"],
)
def test_the_cut_moves_to_where_there_is_room(
    sizes: list[int], room: int, position: int, stored: bool, caplog: pytest.LogCaptureFixture
) -> None:
    plans = [plan(number, size) for number, size in enumerate(sizes)]
    with caplog.at_level("WARNING", "unfreeze"):
        chosen = choose_plan(plans, room)
    assert (chosen.position, chosen.stored) == (position, stored)
    assert bool(caplog.text) == (not stored or position != 2)
    assert stored or "nothing is stored" in caplog.text
    assert not stored or position == 2 or "cut behind layer1 instead" in caplog.text
