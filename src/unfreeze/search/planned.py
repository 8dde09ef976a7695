"""What a trial is to try, as it is sent to the process that runs it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Planned:
    """A trial that is to run.

    Args:
        number: Its number; 0 is the configured point and settings.
        point: Name of its unfreeze point.
        settings: Fields of the phase and their values.
        continues: Number of the trial that this one goes on from.
        until: The epoch after which it stops; all of the phase by default.
        epochs: Its epochs; those of search.epochs by default. The rate has faded after the last of them, whose
            validation loss is then the score.
    """

    number: int
    point: str
    settings: dict[str, Any]
    continues: int | None = None
    until: int | None = None
    epochs: int | None = None

    @property
    def id(self) -> str:
        """Names it among the cluster's tasks."""
        return str(self.number)
