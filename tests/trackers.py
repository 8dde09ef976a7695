"""A tracker for tests of stages that need none."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from unfreeze.records.trial import Trial


class NoTracker:
    """Logs nothing."""

    def prepare(self) -> None: ...

    def log_trial(self, backbone: str, trial: Trial) -> None: ...

    def log_search(self, backbone: str) -> None: ...

    def log_training(self, backbone: str) -> None: ...

    def log_model(self, backbone: str) -> None: ...

    def log_evaluation(self, backbone: str) -> None: ...

    def log_study(self, backbones: Sequence[str]) -> None: ...

    def measure_machine(self, path: Path) -> AbstractContextManager[None]:
        return nullcontext()
