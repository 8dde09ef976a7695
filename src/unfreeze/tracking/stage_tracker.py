"""What stages log to, while they run: a ledger in a process of its own, where MLflow loads while the stage works."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from unfreeze.paths import Paths
from unfreeze.records.trial import Trial
from unfreeze.runtime.background import start_helper
from unfreeze.tracking import models, server, system_metrics
from unfreeze.tracking.ledger import Ledger


class StageTracker:
    """Logs to MLflow without making a stage wait; implements `stages.tracker.Tracker`.

    Results are worth more than their log: where the process dies, what is missing is logged by a later stage or by
    `unfreeze sync`.

    Args:
        ledger: The runs of the checkout.
        process: Runs the ledger's calls, one after the other.
    """

    def __init__(self, ledger: Ledger, process: Executor) -> None:
        self._ledger = ledger
        self._process = process

    def prepare(self) -> None:
        """Load MLflow and make the checkout's own database."""
        for load in (server.load_library, models.load_library, self._ledger.prepare):
            self._submit(load)

    def log_trial(self, backbone: str, trial: Trial) -> None:
        """Log what a trial of a search has done so far."""
        self._submit(self._ledger.log_trial, backbone, trial)

    def log_search(self, backbone: str) -> None:
        """Log the finished search of a backbone."""
        self._submit(self._ledger.log_search, backbone)

    def log_training(self, backbone: str) -> None:
        """Log parameters and epochs of a backbone."""
        self._submit(self._ledger.log_training, backbone)

    def log_model(self, backbone: str) -> None:
        """Log the model of a backbone with its package."""
        self._submit(self._ledger.log_model, backbone)

    def log_evaluation(self, backbone: str) -> None:
        """Log the test scores of a backbone."""
        self._submit(self._ledger.log_evaluation, backbone)

    def log_study(self, backbones: Sequence[str]) -> None:
        """Log the report, the figures, and whatever of the study is still missing."""
        self._submit(self._ledger.log_study, list(backbones))

    def measure_machine(self, path: Path) -> AbstractContextManager[None]:
        """Measure the machine while the block runs, and write what was measured to a CSV file."""
        return system_metrics.sampled(path)

    def _submit(self, call: Callable[..., None], *arguments: Any) -> None:
        with suppress(BrokenExecutor):
            self._process.submit(call, *arguments)


@contextmanager
def open_tracker(paths: Paths, experiment: str) -> Iterator[StageTracker]:
    """Yield a tracker; when the block ends, what it was given has been logged.

    Args:
        paths: The checkout whose files are logged.
        experiment: Name of the experiment in MLflow.
    """
    with start_helper() as process:
        yield StageTracker(Ledger(paths, experiment), process)
