"""DVC's files become runs that a person can browse.

Stages are separate processes; they find their run by a tag made of what determines its content. Everything logged is
read from the files that stages wrote, so it can be logged later too, and a server that is down costs no result.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from unfreeze import dvc_repo
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.trial import Trial
from unfreeze.runtime.console import log
from unfreeze.tracking import models
from unfreeze.tracking.models import Variant
from unfreeze.tracking.server import Server, describe_error
from unfreeze.tracking.study import StudyRuns

# Time budget for MLflow calls per stage, seconds; the last call may exceed it by one request timeout (20 s).
SECONDS_A_STAGE = 40.0

P = ParamSpec("P")


@dataclass(frozen=True)
class Entry:
    """A finished backbone in the store.

    Args:
        run_id: The backbone's run.
        model_id: Its logged model.
        study_run_id: The run of its study.
    """

    run_id: str
    model_id: str
    study_run_id: str


def survive_failures(
    method: Callable[Concatenate["Ledger", P], None],
) -> Callable[Concatenate["Ledger", P], None]:
    """Turn every failure of a logging method into a warning that names what was not logged."""

    @functools.wraps(method)
    def guarded(self: "Ledger", /, *args: P.args, **kwargs: P.kwargs) -> None:
        named = (argument for argument in args if isinstance(argument, str))
        what = " ".join([method.__name__.lstrip("_").removeprefix("log_"), *named])
        if self.out_of_reach:
            log.warning("not logged in MLflow: %s", what)
            return
        try:
            method(self, *args, **kwargs)
            return
        # Results are worth more than their log: whatever the server or its client raises, the study goes on.
        except Exception as error:
            self.out_of_reach = True
            reason = describe_error(error)
        finally:
            # Alembic, which prepares MLflow's database, switches off every logger it does not know.
            log.disabled = False
        log.warning(
            "not logged in MLflow: %s (%s: %s). The results are complete; `unfreeze sync` logs them later",
            what, self.server.shown_uri, reason,
        )  # fmt: skip

    return guarded


@functools.cache
def _open_ledger(paths: Paths, experiment: str) -> "Ledger":
    return Ledger(paths, experiment)


class Ledger:
    """The runs of one checkout; a copy sent to another process is one and the same there each time.

    The methods that begin with `log_` are for stages: they wait for a slow server no longer than a stage should, and
    raise nothing. The others are for people's commands.

    Args:
        paths: Where stages left their files.
        experiment: The experiment's name.
    """

    def __init__(self, paths: Paths, experiment: str) -> None:
        self.paths = paths
        self.experiment = experiment
        self.out_of_reach = False
        self.server = Server(paths, experiment)
        self._of_stage = StudyRuns(paths, Server(paths, experiment, patience=SECONDS_A_STAGE))

    def __reduce__(self) -> Any:
        return _open_ledger, (self.paths, self.experiment)

    def prepare(self) -> None:
        """Make the checkout's own database, which takes a second; any other store is left alone."""
        if self.server.is_of_checkout:
            _ = self.server.client

    def log_trial(self, backbone: str, trial: Trial) -> None:
        """Log what a trial has done so far; what was logged before is left as it is."""
        if not self.out_of_reach:
            self._log_trial(backbone, trial)

    @survive_failures
    def _log_trial(self, backbone: str, trial: Trial) -> None:
        self._of_stage.log_trial(backbone, trial)

    @survive_failures
    def log_search(self, backbone: str) -> None:
        """Log a backbone's trials and their picture."""
        self._of_stage.runs.load()
        self._of_stage.complete(backbone, "search")

    @survive_failures
    def log_training(self, backbone: str) -> None:
        """Log a backbone's parameters and both phases' curves, and its trials if they are missing."""
        self._of_stage.runs.load()
        self._of_stage.complete(backbone, "training")

    @survive_failures
    def log_model(self, backbone: str) -> None:
        """Log a backbone's model with its package, and its training if that is missing."""
        self._of_stage.runs.load()
        self._of_stage.complete(backbone, "model")

    @survive_failures
    def log_evaluation(self, backbone: str) -> None:
        """Log a backbone's test scores, and its training if that is missing."""
        self._of_stage.runs.load()
        self._of_stage.complete(backbone, "evaluation")

    @survive_failures
    def log_study(self, backbones: list[str]) -> None:
        """Log the report in the study's run, and all of its backbones that is missing."""
        self._of_stage.report(backbones)

    @survive_failures
    def log_exports(self, backbone: str) -> None:
        """Log the exported formats of a backbone in its run, if the store has that run."""
        if not self._of_stage.log_exports(backbone):
            log.info("MLflow has no run of %s yet: `unfreeze sync` logs it with its exports", backbone)

    def sync(self, backbones: list[str]) -> None:
        """Log all of a finished study that is missing, however long it takes.

        Args:
            backbones: The study's.

        Raises:
            UnfreezeError: The store cannot be used, dvc.lock cannot be read, or files of the study are missing.
        """
        dvc_repo.require_lock(self.paths)
        self.server.require()
        with self.server.in_one_line(), _files_wanted():
            StudyRuns(self.paths, self.server).report(backbones)

    def complete_entry(self, backbone: str) -> Entry:
        """Return a finished backbone's run and model, after logging what of it is missing.

        Args:
            backbone: The backbone.

        Raises:
            UnfreezeError: The store cannot be used, or files of the backbone are missing.
        """
        self.server.require()
        with self.server.in_one_line(), _files_wanted():
            study = StudyRuns(self.paths, self.server)
            study.runs.load()
            run = study.complete(backbone, "figures")
            model = models.log(self.server, run, self.paths, backbone)
            return Entry(run.id, model, study.find_study().id)

    def log_variant(self, backbone: str, variant: Variant) -> str:
        """Log an exported format beside the model in a finished backbone's run, and return its logged model.

        Args:
            backbone: The backbone, after `complete_entry`.
            variant: The exported format.

        Raises:
            UnfreezeError: The store cannot be used.
        """
        with self.server.in_one_line():
            run = StudyRuns(self.paths, self.server).find_backbone(backbone)
            return models.log(self.server, run, self.paths, backbone, variant)


@contextmanager
def _files_wanted() -> Iterator[None]:
    """Say which of the stages' files is missing, and how to get it."""
    try:
        yield
    except FileNotFoundError as error:
        raise UnfreezeError(
            f"{error.filename} is missing: run `dvc repro`, or `dvc pull` where a remote has it"
        ) from error
