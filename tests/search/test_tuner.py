"""The oracles over trials whose score is a formula: what they choose, and that a stop changes nothing."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import pytest

from tests.conftest import compose
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.records.trial import Trial
from unfreeze.search import tuner
from unfreeze.search.journal import Journal
from unfreeze.search.planned import Planned
from unfreeze.settings import oracles
from unfreeze.settings.oracles import Oracle
from unfreeze.settings.training import Search

POINTS = ["none", "block2", "block1"]


class Stopped(BaseException):
    """Ends a search from outside, as a kill does."""


class Formula:
    """Trials that take no time: the score depends on the values alone."""

    def __init__(self, last: int = 10**9) -> None:
        self.trials: dict[int, Trial] = {}
        self.ran: dict[int, Planned] = {}
        self.last = last
        self.rounds: list[int] = []

    def run_round(self, planned: Sequence[Planned]) -> list[Trial]:
        self.rounds.append(len(planned))
        return [self.run(one) for one in planned]

    def run(self, planned: Planned) -> Trial:
        if planned.number in self.trials:
            assert self.trials[planned.number].settings == planned.settings
            return self.trials[planned.number]
        if len(self.ran) == self.last:
            raise Stopped
        self.ran[planned.number] = planned
        rate = planned.settings["learning_rate"]
        score = abs(math.log10(rate) + 4) + POINTS.index(planned.point) / 10
        trial = Trial(
            trial=planned.number, unfreeze_from=planned.point, unfreeze_point=planned.point,
            settings=planned.settings, continues=planned.continues, epochs=(),
            failed="diverged" if rate > 1.5e-4 else None,
            score=score, val_loss=score, val_accuracy=0.5, trainable_parameters=10,
        )  # fmt: skip
        self.trials[planned.number] = trial
        return trial


def settings(tmp_path: Path, **changes: Any) -> Search:
    search = compose(tmp_path / "params.yaml").search
    return Search.model_validate({**search.model_dump(), "max_trials": 9, "epochs": 3, **changes})


def run(folder: Path, search: Search, trials: Formula, *, most: int = 10**9) -> list[Trial]:
    """Search, with no further round after so many trials."""
    journal = Journal(folder / "journal.jsonl")
    journal.begin({})
    try:
        return tuner.search(
            trials.run_round, trials.trials.__getitem__, POINTS, "xception", search, seed=0, journal=journal,
            allows_round=lambda ended: len(ended) < most,
        )  # fmt: skip
    finally:
        journal.close()


@pytest.mark.parametrize("oracle", ["random", "grid", "bayesian", "hyperband"])
def test_the_same_seed_gives_the_same_trials(tmp_path: Path, oracle: str) -> None:
    search = settings(tmp_path, oracle=oracle)
    first, second = (run(tmp_path / name, search, Formula()) for name in "ab")
    assert first == second
    assert len(first) == 8
    assert [trial.trial for trial in first] == list(range(1, len(first) + 1))
    assert {trial.unfreeze_from for trial in first} <= set(POINTS)
    assert any(trial.failed for trial in first), "the formula has some fail"


@pytest.mark.parametrize("oracle", ["random", "grid", "bayesian", "hyperband"])
@pytest.mark.parametrize("stop", [0, 1, 4])
def test_a_stopped_search_goes_on_to_the_same_trials(tmp_path: Path, oracle: str, stop: int) -> None:
    search = settings(tmp_path, oracle=oracle)
    whole = run(tmp_path / "whole", search, Formula())
    stopped = Formula(last=stop)
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", search, stopped)
    again = Formula()
    again.trials = stopped.trials
    assert run(tmp_path / "stopped", search, again) == whole
    assert sorted([*stopped.ran, *again.ran]) == [trial.trial for trial in whole], "each trial ran once"


def test_a_stopped_search_may_go_on_to_more_trials(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", settings(tmp_path, max_trials=12), Formula())
    first = Formula()
    run(tmp_path / "stopped", settings(tmp_path, max_trials=3), first)
    assert run(tmp_path / "stopped", settings(tmp_path, max_trials=12), first) == whole


def test_a_trial_that_ended_before_it_was_written_down_is_not_repeated(tmp_path: Path) -> None:
    search = settings(tmp_path)
    whole = run(tmp_path / "whole", search, Formula())
    stopped = Formula(last=4)
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", search, stopped)
    journal = tmp_path / "stopped/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    # Settings, four times begin and end, and a begin: the last end and what follows are lost.
    journal.write_bytes(b"".join(lines[:8]))
    again = Formula()
    again.trials = stopped.trials
    assert run(tmp_path / "stopped", search, again) == whole
    assert set(again.ran) == {5, 6, 7, 8}


def test_hyperband_ends_poor_trials_early_and_goes_on_with_good_ones(tmp_path: Path) -> None:
    trials = Formula()
    run(tmp_path, settings(tmp_path, oracle="hyperband", max_trials=99, epochs=9), trials)
    goes_on = [(trials.ran[one.continues], one) for one in trials.ran.values() if one.continues is not None]
    assert goes_on
    for earlier, later in goes_on:
        assert later.settings == earlier.settings
        assert later.until > earlier.until


def test_what_is_given_is_searched(tmp_path: Path) -> None:
    search = settings(
        tmp_path,
        optimizer=["adam", "sgd"],
        dropout={"min": 0.1, "max": 0.5},
        weight_decay={"min": 1e-5, "max": 1e-2},
        layer_decay={"min": 0.3, "max": 1.0},
        label_smoothing={"min": 0.0, "max": 0.2},
        views=[1, 2],
    )
    trials = run(tmp_path, search, Formula())
    for trial in trials:
        found = trial.settings
        assert found["optimizer"] in ("adam", "sgd")
        assert 0.1 <= found["dropout"] <= 0.5
        assert 1e-5 <= found["weight_decay"] <= 1e-2
        assert 0.3 <= found["layer_decay"] <= 1.0
        assert 0 <= found["label_smoothing"] <= 0.2
        assert found["views"] in (1, 2)
    assert len({trial.settings["dropout"] for trial in trials}) == 8


def test_no_trial_begins_after_the_time(tmp_path: Path) -> None:
    with pytest.raises(UnfreezeError, match=r"search\.max_minutes 1e-09 was over before the first trial"):
        run(tmp_path, settings(tmp_path, max_minutes=1e-9), Formula())


def test_a_space_that_is_used_up_ends_the_search(tmp_path: Path) -> None:
    search = settings(tmp_path, oracle="grid", max_trials=500)
    trials = run(tmp_path, search, Formula())
    combinations = {(trial.unfreeze_from, trial.settings["learning_rate"]) for trial in trials}
    assert len(combinations) == len(trials) < 499


@pytest.mark.parametrize("oracle", ["random", "grid", "bayesian", "hyperband"])
def test_a_search_stopped_within_a_round_goes_on_to_the_same_trials(tmp_path: Path, oracle: str) -> None:
    search = settings(tmp_path, oracle=oracle, at_once=3, epochs=9)
    undisturbed = Formula()
    whole = run(tmp_path / "whole", search, undisturbed)
    assert undisturbed.rounds == [3, 3, 2, 0][: len(undisturbed.rounds)]
    stopped = Formula(last=4)
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", search, stopped)
    again = Formula()
    again.trials = dict(stopped.trials)
    assert run(tmp_path / "stopped", search, again) == whole
    assert sorted([*stopped.ran, *again.ran]) == [trial.trial for trial in whole], "each trial ran once"


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name KerasTuner's grid search, which waits for scores before it goes on."""

    def build(epochs: int) -> tuple[Any, dict[str, Any]]:
        return keras_tuner.oracles.GridSearchOracle, {}

    monkeypatch.setitem(oracles._ORACLES, "waiting", Oracle("waiting", build, resumes_trials=False))
    return "waiting"


def test_where_an_oracle_waits_for_scores_the_round_is_smaller(tmp_path: Path, waiting: str) -> None:
    trials = Formula()
    found = run(tmp_path / "waiting", settings(tmp_path, oracle=waiting, at_once=4), trials)
    assert trials.rounds == [2, 1, 1, 1, 1, 1, 1]
    assert found == run(tmp_path / "grid", settings(tmp_path, oracle="grid", at_once=4), Formula())


# Settings, begin, begin, wait, end, end, begin, wait, end.
@pytest.mark.parametrize(("kept", "first"), [(1, 2), (2, 2), (3, 2), (4, 2), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1)])
def test_a_round_is_completed_whatever_part_of_it_was_written_down(
    tmp_path: Path, waiting: str, kept: int, first: int
) -> None:
    search = settings(tmp_path, oracle=waiting, at_once=4, max_trials=5)
    whole = run(tmp_path / "whole", search, Formula())
    lines = (tmp_path / "whole/journal.jsonl").read_bytes().splitlines(keepends=True)
    files.write_text(tmp_path / "stopped/journal.jsonl", b"".join(lines[:kept]).decode())
    ended = sum(json.loads(line).get("event") == "end" for line in lines[:kept])
    again = Formula()
    again.trials = {trial.trial: trial for trial in whole[:ended]}
    assert run(tmp_path / "stopped", search, again) == whole
    assert again.rounds[0] == first
    assert (tmp_path / "stopped/journal.jsonl").read_text().count("begin") == 4


def test_what_a_grid_tries_does_not_depend_on_how_many_run_at_once(tmp_path: Path) -> None:
    one, four = (run(tmp_path / str(n), settings(tmp_path, oracle="grid", at_once=n), Formula()) for n in (1, 4))
    assert one == four


@pytest.mark.parametrize("oracle", ["random", "hyperband"])
def test_a_budget_ends_it_between_two_rounds_and_a_stop_changes_nothing(tmp_path: Path, oracle: str) -> None:
    search = settings(tmp_path, oracle=oracle, at_once=2)
    whole = run(tmp_path / "whole", search, Formula(), most=4)
    assert whole == run(tmp_path / "all", search, Formula())[:4]
    stopped = Formula(last=3)
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", search, stopped, most=4)
    stopped.last = 10**9
    assert run(tmp_path / "stopped", search, stopped, most=4) == whole
    assert run(tmp_path / "none", search, Formula(), most=0) == [], "the configured trial is there without it"
