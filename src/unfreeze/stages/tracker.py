"""What a stage may ask of the tracker that the command line hands in; no result depends on it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from unfreeze.records.trial import Trial


class Tracker(Protocol):
    """Logs what a stage has written, from its files; never raises and never makes the stage wait for long."""

    def prepare(self) -> None:
        """Load in the background what logging needs."""

    def log_trial(self, backbone: str, trial: Trial) -> None:
        """Log what a trial of a search has done so far."""

    def log_search(self, backbone: str) -> None:
        """Log the finished search of a backbone."""

    def log_training(self, backbone: str) -> None:
        """Log parameters and epochs of a backbone."""

    def log_model(self, backbone: str) -> None:
        """Log the model of a backbone with its package."""

    def log_evaluation(self, backbone: str) -> None:
        """Log the test scores of a backbone."""

    def log_study(self, backbones: Sequence[str]) -> None:
        """Log the report, the figures, and whatever of the study is still missing."""

    def measure_machine(self, path: Path) -> AbstractContextManager[None]:
        """Measure processors, memory and disk while the block runs, and write what was measured.

        Args:
            path: CSV file to write: `seconds` since the start, and one column a measure.
        """
