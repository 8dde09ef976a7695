"""The trials of a backbone's search, as in metrics/search/."""

from collections.abc import Sequence
from typing import Any

from pydantic import SerializerFunctionWrapHandler, model_serializer

from unfreeze.records.record import Record

# Missing in the file, not null, where a trial has not got that far.
WITH_A_SCORE = ("trainable_parameters", "val_loss", "val_accuracy", "score")
# They differ from run to run, so the search's file leaves them out.
MEASURED = ("seconds", "peak_mb")


class Epoch(Record):
    """Losses and accuracies after an epoch."""

    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class Trial(Record):
    """One combination of unfreeze point and settings, and what training with it gave.

    Args:
        trial: Its number; 0 is what params.yaml configures.
        unfreeze_from: Name of the unfreeze point.
        unfreeze_point: The same as training takes it: `none`, `all` or the index of a layer.
        settings: Fields of the fine-tuning phase that the trial changed.
        continues: Number of the trial from which it goes on; None if it starts from the trained head.
        epochs: One entry an epoch.
        failed: Why it gave no score; None if it gave one.
        trainable_parameters: Number of parameters that were trained; None, as the next three, without a score.
        val_loss: Validation loss of the last epoch.
        val_accuracy: Validation accuracy of the last epoch.
        score: Smoothed validation loss, which the search minimises; where it searches label smoothing the validation
            loss of the last epoch after a temperature.
        seconds: How long it took; None until it has ended, and where it was read from metrics/search/.
        peak_mb: Peak of resident memory, MB of 2^20 bytes; None as `seconds`.
    """

    trial: int
    unfreeze_from: str
    unfreeze_point: int | str
    settings: dict[str, Any]
    continues: int | None
    epochs: tuple[Epoch, ...]
    failed: str | None
    trainable_parameters: int | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    score: float | None = None
    seconds: float | None = None
    peak_mb: float | None = None

    @model_serializer(mode="wrap")
    def _without_missing(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {
            name: value
            for name, value in written.items()
            if value is not None or name not in (*WITH_A_SCORE, *MEASURED)
        }

    def drop_measured(self) -> "Trial":
        """Return it without what differs from run to run."""
        return self.model_copy(update=dict.fromkeys(MEASURED))


def list_trained(trials: Sequence[Trial]) -> list[tuple[int | str, int]]:
    """Return the unfreeze point of each trial and how many epochs it trained; inherited ones are the earlier trial's.

    Args:
        trials: Those of a search, with all that others go on from.
    """
    before: dict[int | None, int] = {trial.trial: len(trial.epochs) for trial in trials}
    return [(trial.unfreeze_point, max(len(trial.epochs) - before.get(trial.continues, 0), 0)) for trial in trials]


class Gain(Record):
    """Mean gain of the search's winner over the configured settings on validation images, with its interval."""

    mean: float
    low: float
    high: float


class SearchResult(Record):
    """The content of metrics/search/<backbone>.json.

    Args:
        best: The trial with the lowest score; None if the search was off.
        gain_over_configured: Gains in `accuracy` and `log_loss`; None where the configured ones failed.
        trials: All trials, the configured point and settings first.
    """

    best: Trial | None
    gain_over_configured: dict[str, Gain] | None
    trials: tuple[Trial, ...]
