"""One trial of a search: fine-tune from the shared head, score the result, and keep it on disk."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np

from unfreeze import files
from unfreeze.errors import shorten
from unfreeze.records.trial import Epoch, Trial
from unfreeze.runtime import console
from unfreeze.search.outcome import smooth_score
from unfreeze.search.planned import Planned
from unfreeze.settings.training import Phase
from unfreeze.training import memory
from unfreeze.training.fitting import Result, State
from unfreeze.training.history import CURVES
from unfreeze.training.transfer import OUT_OF_MEMORY, Transfer

# Hyperband promotes a third of each bracket; 8 states cover brackets of up to 24 trials. Trials whose
# state is missing are retrained.
STATES_KEPT = 8
# A trial in which the process died this many times is left out: most likely it needs more memory than there is.
DEATHS = 3


def explain_deaths(count: int) -> str:
    """Say why a trial in which processes died is left out."""
    return f"the process died in it {count} times: out of memory?"


class TrialError(Exception):
    """A trial gave no score; the text says why."""


class Trials:
    """The trials of one backbone's search; finished ones are kept in a folder and not run again.

    Args:
        transfer: The backbone and its cached activations.
        head: The trained head that every trial starts from.
        phase: How a trial is trained where its settings do not say otherwise.
        points: The unfreeze points by name.
        folder: Where results are kept until the search ends.
        report: Called with a trial when it begins, after each epoch and at its end.
        keep_states: Whether later trials may go on from earlier ones.
        patience: Epochs without a better validation loss before a trial stops; None for none.
        is_calibrated: Whether scores are validation losses after a temperature: those of trials that differ in label
            smoothing, which makes a model less sure of itself, do not compare without.
        counts_deaths: Whether trials in which this process died are counted; those of a worker are by who runs it.
    """

    def __init__(
        self,
        transfer: Transfer,
        head: keras.Model,
        phase: Phase,
        points: dict[str, int | str],
        folder: Path,
        *,
        report: Callable[[Trial], None],
        keep_states: bool,
        patience: int | None = None,
        is_calibrated: bool = False,
        counts_deaths: bool = True,
    ) -> None:
        self.transfer = transfer
        self.head = head
        self.phase = phase
        self.points = points
        self.folder = folder
        self.report = report
        self.keep_states = keep_states
        self.patience = patience
        self.is_calibrated = is_calibrated
        self._counts_deaths = counts_deaths
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, planned: Planned) -> Trial:
        """Run a trial, or return it if it ended before."""
        trial = self.find_planned(planned)
        if trial is None:
            trial = self._run(self._begin(planned), planned)
            self._keep(trial)
            self.report(trial)
        return trial

    def leave_out(self, planned: Planned, why: str) -> Trial:
        """Keep and return a trial that was given up.

        Args:
            planned: What it was to try.
            why: The cause, in one line.
        """
        trial = self._begin(planned).model_copy(update={"failed": why})
        self._keep(trial)
        return trial

    def find(self, number: int) -> Trial | None:
        """Return a trial if it has ended."""
        path = self._build_path(number, "json")
        return Trial.read(path) if path.exists() else None

    def find_planned(self, planned: Planned) -> Trial | None:
        """Return a trial if it has ended; another one of its number is none, from before a budget changed."""
        trial = self.find(planned.number)
        same = trial and (trial.unfreeze_from, trial.settings) == (planned.point, planned.settings)
        return trial if same else None

    def get(self, number: int) -> Trial:
        """Return a trial that has ended."""
        trial = self.find(number)
        assert trial is not None
        return trial

    def load_probabilities(self, number: int) -> np.ndarray:
        """Return a trial's probabilities of the validation images, float32 of shape (images, classes)."""
        probabilities: np.ndarray = np.load(self._build_path(number, "npy"))
        return probabilities

    def keep_head(self) -> None:
        """Keep the head's weights for other processes: each of them starts its trials from the same."""
        with files.atomic(self._find_head()) as partial:
            np.savez(partial, *self.head.get_weights())

    def load_head(self) -> None:
        """Take the weights that another process has kept."""
        with np.load(self._find_head()) as content:
            self.head.set_weights([content[f"arr_{number}"] for number in range(len(content.files))])

    def drop_poor_states(self) -> None:
        """Remove the kept weights of the worst trials while there are too many.

        Between rounds: which are left must not depend on which trial of a round ended first.
        """
        numbers = [int(path.stem.removeprefix("trial-")) for path in self.folder.glob("trial-*.npz")]
        scores = {number: trial.score for number in numbers if (trial := self.find(number)) and not trial.failed}
        room, taken = self.transfer.activations.free_gb, 0.0
        for rank, number in enumerate(sorted(scores, key=lambda number: (scores[number], number))):
            path = self._build_path(number, "npz")
            taken += path.stat().st_size / 1e9
            if rank >= STATES_KEPT or taken > room:
                files.remove(path)

    def _begin(self, planned: Planned) -> Trial:
        return Trial(
            trial=planned.number,
            unfreeze_from=planned.point,
            unfreeze_point=self.points[planned.point],
            settings=planned.settings,
            continues=planned.continues,
            epochs=(),
            failed=None,
        )

    def _keep(self, trial: Trial) -> None:
        trial.write(self._build_path(trial.trial, "json"))

    def _run(self, trial: Trial, planned: Planned) -> Trial:
        begun = time.monotonic()
        memory.reset_peak()
        # Filled on the way: a trial that fails keeps those it had.
        epochs: list[Epoch] = []
        deaths = _Deaths(self._build_path(trial.trial, "deaths")) if self._counts_deaths else nullcontext()
        try:
            with deaths:
                trial = self._train(trial, epochs, planned)
        except TrialError as error:
            trial = trial.model_copy(update={"epochs": tuple(epochs), "failed": str(error)})
            console.log.warning("%s trial %d left out: %s", self.transfer.backbone.row.name, trial.trial, error)
        finally:
            # The next model shares the layers, which would keep this one alive.
            self.transfer.release()
            memory.free()
        return trial.model_copy(update={"seconds": time.monotonic() - begun, "peak_mb": memory.measure_peak()})

    def _train(self, trial: Trial, epochs: list[Epoch], planned: Planned) -> Trial:
        """Train and score; the epochs are added one by one."""
        state = None
        if trial.continues is not None and (earlier := self.find(trial.continues)) is not None:
            state = self._load_state(trial.continues)
            epochs += earlier.epochs[: state.epochs] if state else ()
        self.report(trial.model_copy(update={"epochs": tuple(epochs)}))
        self.transfer.restore(self.head)
        try:
            try:
                result = self._fine_tune(trial, epochs, planned, state)
            except OUT_OF_MEMORY:
                if state is None:
                    raise
                epochs.clear()
                self.transfer.restore(self.head)
                result = self._fine_tune(trial, epochs, planned, None)
        except (TrialError, OSError):
            # A full disk is not the trial's fault: it ends the search, which later goes on from here.
            raise
        except Exception as error:
            # One combination that TensorFlow cannot run must not end the search.
            raise TrialError(shorten(error, named=True)) from error
        with files.atomic(self._build_path(trial.trial, "npy")) as partial:
            np.save(partial, self.transfer.predict_validation())
        if self.keep_states:
            self._keep_state(trial.trial)
        return trial.model_copy(
            update={
                "epochs": tuple(epochs),
                "trainable_parameters": result.trainable_parameters,
                "val_loss": epochs[-1].val_loss,
                "val_accuracy": epochs[-1].val_accuracy,
                "score": self._score([epoch.val_loss for epoch in epochs], planned),
            }
        )

    def _score(self, losses: list[float], planned: Planned) -> float:
        """Return the score of the trial that has just been trained, from its validation losses."""
        if self.is_calibrated:
            return self.transfer.measure_calibrated_loss()
        return losses[-1] if planned.epochs else smooth_score(losses)

    def _fine_tune(self, trial: Trial, epochs: list[Epoch], planned: Planned, state: State | None) -> Result:
        inherited = len(epochs)

        def begin(_: Any) -> None:
            # After a lack of memory training begins again.
            del epochs[inherited:]

        def after_epoch(_: int, logs: dict[str, float]) -> None:
            values = {name: float(logs[name]) for name in CURVES}
            if not all(map(math.isfinite, values.values())):
                raise TrialError(f"diverged in epoch {len(epochs) + 1}: loss {values['loss']}")
            epochs.append(Epoch(**values))
            self.report(trial.model_copy(update={"epochs": tuple(epochs)}))

        return self.transfer.fine_tune(
            trial.unfreeze_point,
            self.phase.model_copy(update={**trial.settings, "epochs": planned.epochs or self.phase.epochs}),
            label=f"trial {trial.trial}",
            until=planned.until,
            state=state,
            callbacks=[keras.callbacks.LambdaCallback(on_train_begin=begin, on_epoch_end=after_epoch), *self._stop()],
        )

    def _stop(self) -> list[keras.callbacks.Callback]:
        """Return what ends a trial early. Its last weights stay: scores are of all epochs, not of the luckiest."""
        if self.patience is None:
            return []
        return [keras.callbacks.EarlyStopping("val_loss", patience=self.patience)]

    def _keep_state(self, number: int) -> None:
        """Keep a trial's weights, so that a later one can go on from them."""
        state = self.transfer.read_state()
        with files.atomic(self._build_path(number, "npz")) as partial:
            np.savez(partial, np.array([state.epochs, state.parts]), *state.variables)

    def _load_state(self, number: int) -> State | None:
        """Return where a trial stopped; None if its weights are gone: it is trained again from the start."""
        path = self._build_path(number, "npz")
        if not path.exists():
            return None
        with np.load(path) as content:
            (epochs, parts), *variables = (content[f"arr_{number}"] for number in range(len(content.files)))
            return State(int(epochs), int(parts), variables)

    def _find_head(self) -> Path:
        return self.folder / "head.npz"

    def _build_path(self, number: int, suffix: str) -> Path:
        return self.folder / f"trial-{number:04}.{suffix}"


class _Deaths:
    """Counts on disk how many times a process has died inside the block."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        before = len(self.path.read_text()) if self.path.exists() else 0
        if before >= DEATHS:
            raise TrialError(explain_deaths(before))
        self.path.write_text("x" * (before + 1))

    def __exit__(self, *_: object) -> None:
        files.remove(self.path)
