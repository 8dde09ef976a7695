"""A search through KerasTuner: an oracle chooses points and settings, trials give their scores."""

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras_tuner
from keras_tuner.src import config, protos
from keras_tuner.src.distribute import oracle_chief, oracle_client
from keras_tuner.src.distribute.utils import is_chief_oracle

from unfreeze.errors import UnfreezeError
from unfreeze.search.journal import Journal
from unfreeze.search.outcome import Row
from unfreeze.search.trials import Trials
from unfreeze.settings.base import LogRange, Range
from unfreeze.settings.oracles import find_oracle
from unfreeze.settings.training import Search

# The gRPC module that KerasTuner has imported.
grpc = oracle_client.grpc
POINT = "unfreeze_from"
# Sent to workers with the space, so that each can compare its search with its chief's.
DETERMINED_BY = "determined_by"
# Numeric ones first: an oracle can learn where they are good.
RANGES = ("dropout", "weight_decay", "layer_decay", "label_smoothing")
CHOICES = ("optimizer", "views")
# Fields of a trial's row that the oracle receives.
SCORES = ("score", "val_loss", "val_accuracy", "trainable_parameters")
SECONDS_BETWEEN_QUESTIONS = 0.5
SECONDS_TO_TELL = 10

# Seconds that a worker waits for a chief that is gone; an hour by default.
oracle_client.TIMEOUT = 60
# On by default: it prints a traceback for each failed trial. The cause is logged and kept here.
config.DEBUG = False


class Space(keras_tuner.HyperModel):
    """The space of values that trials may have.

    Args:
        points: Names of the unfreeze points, in their order in the backbone.
        search: The settings of the search.
        backbone: The backbone's name.
        determined_by: Digest of everything else that trials depend on.
    """

    def __init__(self, points: list[str], search: Search, backbone: str, determined_by: str) -> None:
        super().__init__(name=backbone)
        self.points = points
        self.determined_by = determined_by
        self.bounds: dict[str, Range] = {"learning_rate": search.learning_rate.get(backbone)}
        self.bounds |= {name: bounds for name in RANGES if (bounds := getattr(search, name)) is not None}
        self.choices = {name: choices for name in CHOICES if (choices := getattr(search, name)) is not None}

    def build(self, hp: Any) -> None:
        """Declare the space to KerasTuner; `Trials` builds and trains the model."""
        hp.Choice(POINT, self.points, ordered=False)
        for name, bounds in self.bounds.items():
            hp.Float(name, bounds.min, bounds.max, sampling="log" if isinstance(bounds, LogRange) else "linear")
        for name, choices in self.choices.items():
            hp.Choice(name, list(choices), ordered=False)

    def require_same(self, hp: Any) -> None:
        """Require that a chief runs the same search as this worker.

        Raises:
            UnfreezeError: It searches something else.
        """
        if hp.get(DETERMINED_BY) != self.determined_by:
            raise UnfreezeError(
                "the chief searches with other settings, images or weights than this worker: take the same commit "
                f"and parameters here, run `dvc repro extract@{self.name}`, then start this worker again"
            )


def search(trials: Trials, space: Space, settings: Search, *, seed: int, journal: Journal | None) -> list[Row]:
    """Run trials until the oracle has no more of them or the budget is spent.

    Each trial's beginning and end is written down. A search that is taken up again first lets the oracle go
    through them as they were, so that it is in the state it was in, whichever oracle it is.

    Args:
        trials: Runs them.
        space: The values they may have.
        settings: Oracle and budget.
        seed: Seed of the oracle.
        journal: What happened so far; None in a worker, whose chief keeps it.

    Returns:
        The rows of all trials by number; empty in a worker.

    Raises:
        UnfreezeError: The time was over before the first trial, or a worker has lost its chief, or never was of its
            search.
    """
    oracle = _make_oracle(settings, seed, journal)
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        tuner = TransferTuner(oracle, space, directory=folder, project_name=space.name, trials=trials)
        if journal is not None:
            oracle.replay()
        _run(tuner, oracle, space, is_worker=journal is None)
    if journal is None:
        return []
    ended = [event for event in journal.events if event["event"] == "end"]
    if not ended:
        raise UnfreezeError(
            f"search.max_minutes {settings.max_minutes:g} was over before the first trial: allow more, or set "
            "search.enabled.default=false"
        )
    rows = [trials.find(_number(event["trial"])) or _build_row(oracle, event, trials) for event in ended]
    return sorted(rows, key=lambda row: row["trial"])


def _make_oracle(settings: Search, seed: int, journal: Journal | None) -> Any:
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


def _run(tuner: "TransferTuner", oracle: Any, space: Space, *, is_worker: bool) -> None:
    """Run trials, or serve them to workers, until the search has ended."""
    try:
        if is_worker:
            space.require_same(tuner.oracle.get_space())
        if is_chief_oracle():
            _serve(oracle, space)
        else:
            tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        raise error.__cause__ or error from None
    except grpc.RpcError as error:
        raise _explain_missing_chief() from error


class TransferTuner(keras_tuner.engine.base_tuner.BaseTuner):
    """A tuner whose trials start from one trained head and share one cache of activations."""

    def __init__(self, *args: Any, trials: Trials, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.trials = trials

    def run_trial(self, trial: Any, **_: Any) -> dict[str, float]:
        """Run a trial and return its score and the other numbers that the oracle receives."""
        values = dict(trial.hyperparameters.values)
        continues = values.get("tuner/trial_id")
        try:
            row = self.trials.run(
                _number(trial.trial_id),
                values[POINT],
                _select_settings(values),
                continues=None if continues is None else _number(continues),
                until=values.get("tuner/epochs"),
            )
        except Exception as error:
            # An error that is not the trial's fault ends the search.
            raise keras_tuner.errors.FatalError(str(error)) from error
        if row["failed"]:
            raise keras_tuner.errors.FailedTrialError(row["failed"])
        return {name: float(row[name]) for name in SCORES}

    def _run_and_update_trial(self, *args: Any, **kwargs: Any) -> None:
        try:
            super()._run_and_update_trial(*args, **kwargs)
        except grpc.RpcError as error:
            # KerasTuner would report the trial as failed to the next chief, although only the report was lost.
            raise keras_tuner.errors.FatalError(str(error)) from _explain_missing_chief()


class _Journalled:
    """An oracle that writes the begin and the end of each trial into a journal.

    KerasTuner's own files do not suffice to resume: they are not replaced atomically, and lack the grid's state.
    """

    journal: Journal | None
    most_trials: int
    seconds: float | None
    trials: dict[str, Any]
    ongoing_trials: dict[str, Any]
    tuner_ids: set[str]
    _retry_queue: list[str]
    _at: float
    _replaying = False

    def replay(self) -> None:
        """Repeat the trials of an earlier process from the journal, which restores the oracle's state."""
        assert self.journal is not None
        self._at = time.monotonic()
        self._replaying = True
        for event in list(self.journal.events):
            if event["event"] == "begin":
                # Under the trial's own name: another process than before may run it now.
                trial = super().create_trial(event["trial"])  # type: ignore[misc]
                if (trial.trial_id, trial.hyperparameters.values) != (event["trial"], event["values"]):
                    raise UnfreezeError(
                        f"trial {event['trial']} of the unfinished search would now be another one: remove "
                        "the search's folder in models/search to begin anew"
                    )
                continue
            trial = self.trials[event["trial"]]
            if event["metrics"]:
                super().update_trial(trial.trial_id, event["metrics"])  # type: ignore[misc]
            trial.status = event["status"]
            super().end_trial(trial)  # type: ignore[misc]
        self._replaying = False
        unfinished = [trial.trial_id for trial in self.ongoing_trials.values()]
        self.ongoing_trials.clear()
        self.tuner_ids.clear()
        # The queue is taken from its end.
        self._retry_queue = unfinished[::-1]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Choose a trial's values, unless the budget is spent."""
        if not self._replaying and (len(self.trials) >= self.most_trials or self._time_is_up()):
            return {"status": "STOPPED"}
        answer: dict[str, Any] = super().populate_space(trial_id)  # type: ignore[misc]
        return answer

    def create_trial(self, tuner_id: str) -> Any:
        """Start a trial."""
        known = set(self.trials)
        trial = super().create_trial(tuner_id)  # type: ignore[misc]
        if trial.status == "IDLE":
            # The worker asks again at once.
            time.sleep(SECONDS_BETWEEN_QUESTIONS)
        if trial.trial_id in self.trials and trial.trial_id not in known:
            self._append({"event": "begin", "trial": trial.trial_id, "values": trial.hyperparameters.values})
        return trial

    def end_trial(self, trial: Any) -> None:
        """End a trial."""
        super().end_trial(trial)  # type: ignore[misc]
        ended = self.trials[trial.trial_id]
        metrics = {
            name: ended.metrics.get_best_value(name) for name in ended.metrics.metrics if ended.status == "COMPLETED"
        }
        self._append(
            {
                "event": "end",
                "trial": ended.trial_id,
                "status": ended.status,
                "metrics": metrics,
            }
        )

    def _append(self, event: dict[str, Any]) -> None:
        assert self.journal is not None
        now = time.monotonic()
        self.journal.append({**event, "seconds": now - self._at})
        self._at = now

    def _time_is_up(self) -> bool:
        assert self.journal is not None
        spent = sum(event["seconds"] for event in self.journal.events) + time.monotonic() - self._at
        return self.seconds is not None and spent > self.seconds


class _Servicer(oracle_chief.OracleServicer):
    def __init__(self, oracle: Any, space: Space) -> None:
        super().__init__(oracle)
        self.space = space

    def GetSpace(self, request: Any, context: Any) -> Any:  # noqa: N802
        # Not in the oracle's own space, where it would take part in the random draws.
        hp = self.oracle.get_space()
        hp.Fixed(DETERMINED_BY, self.space.determined_by)
        return protos.get_service().GetSpaceResponse(hyperparameters=hp.to_proto())


def _serve(oracle: Any, space: Space) -> None:
    """Answer workers until every trial has ended, and a little longer, so that they learn of the end.

    KerasTuner's own loop looks every 20 s, waits for each worker that ever asked, even if it is gone, and shares its
    port with a second chief.
    """
    servicer = _Servicer(oracle, space)
    server = grpc.server(ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    server.add_insecure_port(f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}")
    server.start()
    while not servicer.stop_triggered or oracle.ongoing_trials:
        time.sleep(SECONDS_BETWEEN_QUESTIONS)
    told_by = time.monotonic() + SECONDS_TO_TELL
    while oracle.tuner_ids and time.monotonic() < told_by:
        time.sleep(SECONDS_BETWEEN_QUESTIONS)
    server.stop(grace=1).wait()


def _build_row(oracle: Any, event: dict[str, Any], trials: Trials) -> Row:
    """Return the row of a trial that ran on another machine, as far as a chief knows it."""
    values = oracle.trials[event["trial"]].hyperparameters.values
    return {
        "trial": _number(event["trial"]),
        "unfreeze_from": values[POINT],
        "unfreeze_point": trials.points[values[POINT]],
        "settings": _select_settings(values),
        "continues": None,
        "epochs": [],
        "failed": None if event["metrics"] else "failed on another machine: its run in MLflow says why",
        **event["metrics"],
    }


def _select_settings(values: dict[str, Any]) -> dict[str, Any]:
    """Return a trial's values without the point and what Hyperband adds."""
    return {name: value for name, value in values.items() if name != POINT and not name.startswith("tuner/")}


def _number(trial_id: str) -> int:
    """Return a trial's number here, where 0 is the configured point."""
    return int(trial_id) + 1


def _explain_missing_chief() -> UnfreezeError:
    return UnfreezeError(
        "the search's chief no longer answers: start it again, then this worker; finished trials are kept"
    )
