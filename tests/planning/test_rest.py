"""What is left of a study when a stage begins."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.planning.test_forecast import measured
from tests.planning.test_plan import plan
from unfreeze.paths import Paths
from unfreeze.planning.rest import HandedOver, Rest, compute_rest, hand_over, read_rest

PLANNED = HandedOver(params="p", made=1000.0, stages=(("check", 60.0), ("extract@a", 100.0), ("verdict", 10.0)))


def test_a_stage_counts_down_itself_and_what_follows() -> None:
    assert compute_rest(PLANNED, "extract@a", [], 1100.0) == Rest(own=100.0, after=10.0)


def test_stages_that_took_longer_since_the_plan_stretch_what_is_left() -> None:
    slow = measured(stage="check", backbone=None, begun=1001.0, seconds=90.0)
    assert compute_rest(PLANNED, "extract@a", [slow], 1100.0) == Rest(own=150.0, after=15.0)
    before = slow.model_copy(update={"begun": 999.0})
    assert compute_rest(PLANNED, "extract@a", [before], 1100.0) == Rest(own=100.0, after=10.0)


def test_a_stage_that_begins_long_after_its_plan_belongs_to_another_run() -> None:
    assert compute_rest(PLANNED, "extract@a", [], 1000.0 + 60.0 + 24 * 3600) is None


def test_a_stage_that_nobody_planned_counts_nothing_down() -> None:
    assert compute_rest(PLANNED, "extract@b", [], 1100.0) is None


@pytest.mark.parametrize(
    ("params", "found"), [({"seed": 0}, True), ({"seed": 1}, False)], ids=["same parameters", "other parameters"]
)
def test_a_plan_is_handed_over_to_studies_with_its_parameters(tmp_path: Path, params: Any, found: bool) -> None:
    made = plan()
    (tmp_path / ".dvc").mkdir()
    hand_over(Paths(tmp_path), made, {"seed": 0}, time.time())
    rest = read_rest(Paths(tmp_path), "finetune@a", params, [])
    assert rest == (Rest(made.stages[2].seconds or 0, made.stages[3].seconds or 0) if found else None)


def test_a_file_that_was_cut_short_counts_nothing_down(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.plan.parent.mkdir(parents=True)
    paths.plan.write_text('{"params": ')
    assert read_rest(paths, "verdict", {}, []) is None
