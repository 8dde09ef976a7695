"""One trial of a search: fine-tune from the shared head, score the result, and keep it on disk."""

import copy
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np

from unfreeze import files
from unfreeze.runtime import console
from unfreeze.search.outcome import Row, smooth_score
from unfreeze.settings.training import Phase, UnfreezePoint
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
        report: Called with a copy of a trial's row when it begins, after each epoch and at its end.
        keep_states: Whether later trials may go on from earlier ones.
        counts_deaths: Whether trials in which this process died are counted; those of a worker are by who runs it.
    """

    def __init__(
        self,
        transfer: Transfer,
        head: keras.Model,
        phase: Phase,
        points: dict[str, UnfreezePoint],
        folder: Path,
        *,
        report: Callable[[Row], None],
        keep_states: bool,
        counts_deaths: bool = True,
    ) -> None:
        self.transfer = transfer
        self.head = head
        self.phase = phase
        self.points = points
        self.folder = folder
        self._report = report
        self.keep_states = keep_states
        self._counts_deaths = counts_deaths
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        number: int,
        point: str,
        settings: dict[str, Any],
        *,
        continues: int | None = None,
        until: int | None = None,
    ) -> Row:
        """Run a trial, or return its row if it ended before.

        Args:
            number: The trial's number; 0 is the configured point and settings.
            point: Name of its unfreeze point.
            settings: Fields of the phase and their values.
            continues: Number of the trial that this one goes on from.
            until: The epoch after which it stops; all of the phase by default.

        Returns:
            The row: trial, unfreeze_from, unfreeze_point, settings, continues, trainable_parameters, epochs (one row
            an epoch), val_loss and val_accuracy of the last epoch, score, failed (None, or why), seconds and peak_mb.
        """
        row = self.find(number)
        if row is None:
            row = self._run(self._begin_row(number, point, settings, continues), until)
            self._keep(row)
            self.report(row)
        return row

    def leave_out(self, number: int, point: str, settings: dict[str, Any], continues: int | None, why: str) -> Row:
        """Return the row of a trial that was given up, and keep it.

        Args:
            number: As in `run`, like the next three.
            point: Name of its unfreeze point.
            settings: Fields of the phase and their values.
            continues: Number of the trial that it was to go on from.
            why: The cause, in one line.
        """
        row = self._begin_row(number, point, settings, continues) | {"failed": why}
        self._keep(row)
        return row

    def report(self, row: Row) -> None:
        """Report a copy of a trial's row."""
        self._report(copy.deepcopy(row))

    def find(self, number: int) -> Row | None:
        """Return a trial's row if it has ended."""
        path = self._build_path(number, "json")
        return files.read_json(path) if path.exists() else None

    def get(self, number: int) -> Row:
        """Return the row of a trial that has ended."""
        row = self.find(number)
        assert row is not None
        return row

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
        scores = {number: row["score"] for number in numbers if (row := self.find(number)) is not None}
        room, taken = self.transfer.activations.free_gb, 0.0
        for rank, number in enumerate(sorted(scores, key=lambda number: (scores[number], number))):
            path = self._build_path(number, "npz")
            taken += path.stat().st_size / 1e9
            if rank >= STATES_KEPT or taken > room:
                files.remove(path)

    def _begin_row(self, number: int, point: str, settings: dict[str, Any], continues: int | None) -> Row:
        return {
            "trial": number,
            "unfreeze_from": point,
            "unfreeze_point": self.points[point],
            "settings": settings,
            "continues": continues,
            "epochs": [],
            "failed": None,
        }

    def _keep(self, row: Row) -> None:
        files.write_json(self._build_path(row["trial"], "json"), row)

    def _run(self, row: Row, until: int | None) -> Row:
        begun = time.monotonic()
        memory.reset_peak()
        deaths = _Deaths(self._build_path(row["trial"], "deaths")) if self._counts_deaths else nullcontext()
        try:
            with deaths:
                self._train(row, until)
        except TrialError as error:
            row["failed"] = str(error)
            console.log.warning("%s trial %d left out: %s", self.transfer.backbone.row.name, row["trial"], error)
        finally:
            # The next model shares the layers, which would keep this one alive.
            self.transfer.release()
            memory.free()
        return row | {"seconds": time.monotonic() - begun, "peak_mb": memory.measure_peak()}

    def _train(self, row: Row, until: int | None) -> None:
        """Train and score; the row is filled on the way."""
        state = None
        earlier = self.find(row["continues"]) if row["continues"] is not None else None
        if earlier is not None:
            state = self._load_state(row["continues"])
            row["epochs"] = earlier["epochs"][: state.epochs] if state else []
        self.report(row)
        self.transfer.restore(self.head)
        try:
            try:
                result = self._fine_tune(row, until, state)
            except OUT_OF_MEMORY:
                if state is None:
                    raise
                row["epochs"].clear()
                self.transfer.restore(self.head)
                result = self._fine_tune(row, until, None)
        except (TrialError, OSError):
            # A full disk is not the trial's fault: it ends the search, which later goes on from here.
            raise
        except Exception as error:
            # One combination that TensorFlow cannot run must not end the search.
            raise TrialError(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}") from error
        with files.atomic(self._build_path(row["trial"], "npy")) as partial:
            np.save(partial, self.transfer.predict_validation())
        last = row["epochs"][-1]
        row |= {
            "trainable_parameters": result.trainable_parameters,
            "val_loss": last["val_loss"],
            "val_accuracy": last["val_accuracy"],
            "score": smooth_score([epoch["val_loss"] for epoch in row["epochs"]]),
        }
        if self.keep_states:
            self._keep_state(row)

    def _fine_tune(self, row: Row, until: int | None, state: State | None) -> Result:
        """Train; the row's epochs are filled on the way."""
        inherited = len(row["epochs"])

        def begin(_: Any) -> None:
            # After a lack of memory training begins again.
            del row["epochs"][inherited:]

        def after_epoch(_: int, logs: dict[str, float]) -> None:
            values = {name: float(logs[name]) for name in CURVES}
            if all(math.isfinite(value) for value in values.values()):
                row["epochs"].append(values)
                self.report(row)
                return
            raise TrialError(f"diverged in epoch {len(row['epochs']) + 1}: loss {values['loss']}")

        return self.transfer.fine_tune(
            row["unfreeze_point"],
            self.phase.model_copy(update=row["settings"]),
            label=f"trial {row['trial']}",
            until=until,
            state=state,
            callbacks=[keras.callbacks.LambdaCallback(on_train_begin=begin, on_epoch_end=after_epoch)],
        )

    def _keep_state(self, row: Row) -> None:
        """Keep a trial's weights, so that a later one can go on from them."""
        state = self.transfer.read_state()
        with files.atomic(self._build_path(row["trial"], "npz")) as partial:
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
