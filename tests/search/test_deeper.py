"""Deeper trials over trials whose score is a formula: which points are tried, and what ends that."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import compose
from unfreeze.models.backbone import Backbone
from unfreeze.models.table import find_row
from unfreeze.records.trial import Epoch, Trial
from unfreeze.search.deeper import go_deeper
from unfreeze.search.journal import Journal
from unfreeze.search.planned import Planned
from unfreeze.settings.training import Search
from unfreeze.training.budget import Budget

NETWORK = Backbone(find_row("mobilenetv2"), 32)
STARTS = NETWORK.find_block_starts()
NO_LIMIT = Budget(None, 1000, 200, 32)
EPOCH = Epoch(loss=1, accuracy=0.5, val_loss=1, val_accuracy=0.5)


def trial(number: int, blocks: int | str, score: float, accuracy: float = 0.5, **changes: Any) -> Trial:
    name, point = NETWORK.resolve_point("all" if blocks == "all" else STARTS[-int(blocks)])
    return Trial(
        trial=number, unfreeze_from=name, unfreeze_point=point, settings={"learning_rate": 1e-4 * (number + 1)},
        continues=None, epochs=(EPOCH,), failed=None, val_accuracy=accuracy, score=score,
        trainable_parameters=sum(layer.count_params() for layer in NETWORK.base.layers[-number:]),
    ).model_copy(update=changes)  # fmt: skip


def go(
    folder: Path, ended: list[Trial], scores: list[float], *, budget: Budget = NO_LIMIT, **changes: Any
) -> list[Trial]:
    """Go deeper where trials have these scores, one after the other."""
    search = compose(folder / "params.yaml").search
    left = iter(scores)

    def run_round(planned: Sequence[Planned]) -> list[Trial]:
        return list(_run(planned, left))

    journal = Journal(folder / "journal.jsonl")
    journal.begin({})
    journal.append({"event": "end", "seconds": 50.0})
    try:
        search = Search.model_validate({**search.model_dump(), "deeper": 9, **changes})
        return go_deeper(NETWORK, run_round, ended, search, journal, budget)
    finally:
        journal.close()


def _run(planned: Sequence[Planned], scores: Iterator[float]) -> Iterator[Trial]:
    for one in planned:
        (point,) = [found for name, found in NETWORK.list_candidates(("auto", "all")).items() if name == one.point]
        yield Trial(
            trial=one.number, unfreeze_from=one.point, unfreeze_point=point, settings=one.settings, continues=None,
            epochs=(EPOCH,), failed=None, val_accuracy=0.5, score=next(scores), trainable_parameters=10**7,
            seconds=20.0,
        )  # fmt: skip


FLAT = [trial(0, 1, 0.7), trial(1, 2, 0.6)]


def test_blocks_double_up_to_all_while_each_is_better(tmp_path: Path) -> None:
    added = go(tmp_path, FLAT, [0.5, 0.4, 0.3, 0.2])
    deeper = [STARTS[-blocks] for blocks in (4, 8, 16) if blocks < len(STARTS)]
    assert [one.unfreeze_point for one in added] == [*deeper, "all"]
    assert [one.trial for one in added] == list(range(2, 2 + len(added)))
    rates = [one.settings["learning_rate"] for one in added]
    assert rates == [2e-4 / 2**number for number in range(1, 1 + len(added))], "half of the best's before"


def test_a_point_that_is_no_better_is_the_last_where_the_result_is_good(tmp_path: Path) -> None:
    good = [trial(0, 1, 0.7, accuracy=0.94), trial(1, 2, 0.6, accuracy=0.95)]
    assert [one.score for one in go(tmp_path, good, [0.65])] == [0.65]


def test_a_poor_result_is_looked_into_down_to_the_last_point(tmp_path: Path) -> None:
    added = go(tmp_path, FLAT, [0.65, 0.55, 0.7])
    assert [one.score for one in added] == [0.65, 0.55, 0.7]
    # Half of that of the point before, whether that was better or not, from the best of the first or the configured.
    assert [one.settings["learning_rate"] for one in added] == [1e-4, 5e-5, 2.5e-5]


def test_no_more_trials_than_wanted(tmp_path: Path) -> None:
    assert len(go(tmp_path, FLAT, [0.5, 0.4], deeper=2)) == 2
    assert go(tmp_path, FLAT, [], deeper=0) == []


def test_a_good_result_above_the_deepest_point_needs_no_deeper_one(tmp_path: Path) -> None:
    good = [trial(0, 1, 0.1, accuracy=0.97), trial(1, 2, 0.2, accuracy=0.96)]
    assert go(tmp_path, good, []) == []
    poor = [trial(0, 1, 0.6, accuracy=0.64), trial(1, 2, 0.7, accuracy=0.6)]
    (one,) = go(tmp_path, poor, [0.65], deeper=1)
    assert one.unfreeze_point == STARTS[-4]
    assert one.settings == {"learning_rate": 5e-5}, "half of the configured"
    deepest = [trial(0, 1, 0.2, accuracy=0.96), trial(1, 2, 0.1, accuracy=0.97)]
    assert len(go(tmp_path, deepest, [0.2])) == 1


def test_behind_all_there_is_nothing_and_failed_trials_do_not_count(tmp_path: Path) -> None:
    assert go(tmp_path, [trial(0, "all", 0.5)], []) == []
    assert go(tmp_path, [FLAT[0].model_copy(update={"failed": "diverged", "score": None})], []) == []


def test_minutes_end_it(tmp_path: Path) -> None:
    assert len(go(tmp_path, FLAT, [0.5], max_minutes=1.1)) == 1, "50 s of the oracle, 20 s of the first"


def test_the_budget_leaves_time_to_train_from_a_deeper_point(tmp_path: Path) -> None:
    one = NO_LIMIT.estimate(NETWORK, STARTS[-4])
    before = sum(NO_LIMIT.estimate(NETWORK, STARTS[-blocks]) for blocks in (1, 2))
    # Half of the minutes are for training: trials so far, one more of four epochs, and eight of fine-tuning.
    enough = (before + 12 * one) * 2 / 60
    for number, (minutes, count) in enumerate([(enough * 1.001, 1), (enough * 0.999, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        budget = Budget(minutes, 1000, 200, 32)
        assert len(go(folder, FLAT, [0.5], budget=budget)) == count
