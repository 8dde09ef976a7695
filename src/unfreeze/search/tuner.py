"""A search through KerasTuner: an oracle chooses points and settings, trials give their scores."""

import sys
import time
from collections.abc import Callable
from typing import Any

import keras_tuner

from unfreeze.errors import UnfreezeError
from unfreeze.records.trial import WITH_A_SCORE, Trial
from unfreeze.search.journal import Journal
from unfreeze.search.planned import Planned
from unfreeze.search.rounds import RunRound
from unfreeze.settings.base import LogRange, Range
from unfreeze.settings.oracles import find_oracle
from unfreeze.settings.training import Search

POINT = "unfreeze_from"
# Numeric ones first: an oracle can learn where they are good.
RANGES = ("dropout", "weight_decay", "layer_decay", "label_smoothing")
CHOICES = ("optimizer", "views")


def search(
    run_round: RunRound,
    find: Callable[[int], Trial],
    points: list[str],
    backbone: str,
    settings: Search,
    *,
    seed: int,
    journal: Journal,
    allows_round: Callable[[list[Trial]], bool],
) -> list[Trial]:
    """Run trials until the oracle has no more of them or the budget is spent.

    The oracle chooses all trials of a round before it learns the score of any, and learns the scores in the order of
    the trials' numbers. Each trial's beginning and end is written down. A search that is taken up again first lets
    the oracle go through them as they were, so that it is in the state it was in, whichever oracle it is.

    Args:
        run_round: Runs the trials of a round.
        find: Returns a trial that has ended, by its number.
        points: Names of the unfreeze points, in their order in the backbone.
        backbone: The backbone's name.
        settings: Space, oracle and budget.
        seed: Seed of the oracle.
        journal: What happened so far.
        allows_round: Tells whether one more round may run after the trials so far.

    Returns:
        All trials by number; none where not even one round may run.

    Raises:
        UnfreezeError: The time was over before the first trial.
    """
    oracle = _make_oracle(settings, seed, journal)
    oracle.update_space(_declare_space(points, settings, backbone))
    oracle.replay()
    ended = [find(number) for number in sorted(map(_number, oracle.end_order))]
    while (allowed := allows_round(ended)) and (chosen := oracle.begin_round(settings.at_once)):
        for one, trial in zip(chosen, run_round([_plan(one) for one in chosen]), strict=True):
            scores = None if trial.failed else {name: float(getattr(trial, name)) for name in WITH_A_SCORE}
            oracle.end(one.trial_id, scores)
            ended.append(trial)
    if allowed and not ended:
        raise UnfreezeError(
            f"search.max_minutes {settings.max_minutes:g} was over before the first trial: allow more, or set "
            "search.enabled.default=false"
        )
    return ended


def _declare_space(points: list[str], search: Search, backbone: str) -> Any:
    """Return the space of values that trials may have, as KerasTuner declares it."""
    bounds: dict[str, Range] = {"learning_rate": search.learning_rate.get(backbone)}
    bounds |= {name: given for name in RANGES if (given := getattr(search, name)) is not None}
    choices = {name: given for name in CHOICES if (given := getattr(search, name)) is not None}
    space = keras_tuner.HyperParameters()
    space.Choice(POINT, points, ordered=False)
    for name, given in bounds.items():
        space.Float(name, given.min, given.max, sampling="log" if isinstance(given, LogRange) else "linear")
    for name, given in choices.items():
        space.Choice(name, list(given), ordered=False)
    return space


def _plan(trial: Any) -> Planned:
    """Return the trial that KerasTuner's one stands for."""
    values = trial.hyperparameters.values
    continues = values.get("tuner/trial_id")
    return Planned(
        _number(trial.trial_id),
        values[POINT],
        {name: value for name, value in values.items() if name != POINT and not name.startswith("tuner/")},
        None if continues is None else _number(continues),
        values.get("tuner/epochs"),
    )


def _make_oracle(settings: Search, seed: int, journal: Journal) -> Any:
    """Return the oracle of the settings, which writes down what it gives out and ends with the budget."""
    oracle_class, options = find_oracle(settings.oracle).build(settings.epochs)
    journalled: Any = type("Journalled", (_Journalled, oracle_class), {})
    oracle = journalled(
        objective=keras_tuner.Objective("score", "min"),
        # KerasTuner takes a seed of 0 for none.
        seed=seed + 1,
        # A trial that fails says nothing about the next one: no number of them ends the search.
        max_consecutive_failed_trials=sys.maxsize,
        **options,
    )
    oracle.verbose = 0
    # The numbers of trials would depend on it.
    oracle.max_trials = None
    # One was the configured point.
    oracle.most_trials = settings.max_trials - 1
    oracle.journal = journal
    oracle.seconds = settings.max_minutes * 60 if settings.max_minutes else None
    return oracle


class _Journalled:
    """An oracle that writes the begin and the end of each trial into a journal.

    KerasTuner's own files do not suffice to resume: they are not replaced atomically, and lack the grid's state.
    """

    journal: Journal
    most_trials: int
    seconds: float | None
    trials: dict[str, Any]
    # Of KerasTuner's parallel search, whose tuners each run one trial: here one for each trial.
    ongoing_trials: dict[str, Any]
    _at: float
    _replaying = False

    def replay(self) -> None:
        """Repeat what an earlier process did from the journal, which restores the oracle's state."""
        self._at = time.monotonic()
        self._replaying = True
        for event in list(self.journal.events):
            if event["event"] == "end":
                self._end(event["trial"], event["metrics"])
                continue
            trial = self._create()
            if event["event"] == "begin" and (trial.trial_id, trial.hyperparameters.values) != (
                event["trial"],
                event["values"],
            ):
                raise UnfreezeError(
                    f"trial {event['trial']} of the unfinished search would now be another one: remove "
                    "the search's folder in models/search to begin anew"
                )
        self._replaying = False

    def begin_round(self, most: int) -> list[Any]:
        """Return the trials of the next round, or those that a stopped process left of one; none at the end.

        Args:
            most: Most trials; fewer where the oracle waits for scores before it chooses more.
        """
        # An end, or an oracle that waits, follows only the last trial of a round.
        if not self.ongoing_trials or self.journal.events[-1]["event"] == "begin":
            while len(self.ongoing_trials) < most:
                trial = self._create()
                if trial.status != "RUNNING":
                    break
                self._append({"event": "begin", "trial": trial.trial_id, "values": trial.hyperparameters.values})
        return list(self.ongoing_trials.values())

    def end(self, trial_id: str, metrics: dict[str, float] | None) -> None:
        """Take in the scores of a trial; None if it failed."""
        self._end(trial_id, metrics)
        self._append({"event": "end", "trial": trial_id, "metrics": metrics})

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose a trial's values, unless the budget is spent."""
        if not self._replaying and (len(self.trials) >= self.most_trials or self._time_is_up()):
            return {"status": "STOPPED"}
        answer: dict[str, Any] = super().populate_space(trial_id)  # type: ignore[misc]
        if answer["status"] != "RUNNING" and not self._replaying:
            # To ask may have changed its state.
            self._append({"event": "wait"})
        return answer

    def save(self) -> None:
        """Write nothing: the journal has it."""

    def _save_trial(self, trial: Any) -> None:
        """Write nothing."""

    def _create(self) -> Any:
        return self.create_trial(f"of trial {len(self.trials)}")  # type: ignore[attr-defined]

    def _end(self, trial_id: str, metrics: dict[str, float] | None) -> None:
        trial = self.trials[trial_id]
        if metrics:
            self.update_trial(trial_id, metrics)  # type: ignore[attr-defined]
        trial.status = "COMPLETED" if metrics else "FAILED"
        self.end_trial(trial)  # type: ignore[attr-defined]

    def _append(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        self.journal.append({**event, "seconds": now - self._at})
        self._at = now

    def _time_is_up(self) -> bool:
        spent = sum(event["seconds"] for event in self.journal.events) + time.monotonic() - self._at
        return self.seconds is not None and spent > self.seconds


def _number(trial_id: str) -> int:
    """Return a trial's number here, where 0 is the configured point."""
    return int(trial_id) + 1
