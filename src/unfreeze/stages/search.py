"""Search the unfreeze point and how to fine-tune from it, on cached activations."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.search import workers
from unfreeze.search.journal import Journal
from unfreeze.settings.base import PixelScaling, Section
from unfreeze.settings.oracles import find_oracle
from unfreeze.settings.params import settings_of
from unfreeze.settings.training import Head, Search, Train, Unfreeze
from unfreeze.stages.tracker import Tracker


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    pixels: PixelScaling
    head: Head
    train: Train
    unfreeze: Unfreeze
    search: Search


RESAMPLES = 2000
# What may change while a search is stopped: its bounds, and what stands in the points already.
FREE = ("search.enabled", "search.max_", "unfreeze.")
# No score depends on these, so they may differ from run to run, and what is compared must not hold them.
MEASURED = ("seconds", "peak_mb")
COLUMNS = ["trial", "unfreeze_from", "learning_rate", "score", "val_loss", "val_accuracy", "trainable_parameters"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Args:
        trials: All trials, the configured point and settings first.
        best: The winner among them.
        gain: By how much it beats the configured ones; None where one of the two did not run on this machine.
        points: Names of the unfreeze points, from the top of the backbone down.
    """

    trials: list[Row]
    best: Row
    gain: dict[str, dict[str, float]] | None
    points: list[str]


def best_trial(trials: list[Row]) -> Row:
    """Return the trial with the lowest score; a tie goes to fewer trainable parameters."""
    return min(trials, key=lambda trial: (trial["score"], trial["trainable_parameters"], trial["trial"]))


def table_of(trials: list[Row]) -> pd.DataFrame:
    """Return one row a trial that gave a score, with its settings as columns."""
    rows = [{**trial, **trial["settings"]} for trial in trials if not trial["failed"]]
    settings = sorted({name for row in rows for name in row["settings"]} - set(COLUMNS))
    return pd.DataFrame(rows, columns=[*COLUMNS, *settings])


def gain_over(
    configured: np.ndarray, winner: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, dict[str, float]]:
    """Return by how much the winner is better than the configured settings, on the same validation images.

    The winner was chosen on these images, so the truth lies rather below.

    Args:
        configured: Probabilities, shape (images, classes).
        winner: The same of the winner.
        labels: Class numbers.
        seed: Seed of the bootstrap.

    Returns:
        For `accuracy` and `log_loss` the mean gain and the bounds of its 95 % interval, from a paired bootstrap of
        the images (Efron and Tibshirani 1993).
    """
    # Takes as long to import as a search that is off takes.
    from scipy import stats

    images = np.arange(len(labels))
    losses = [-np.log(np.clip(part[images, labels], 1e-7, 1)) for part in (configured, winner)]
    correct = [(part.argmax(axis=1) == labels).astype(float) for part in (configured, winner)]
    gains = {"accuracy": correct[1] - correct[0], "log_loss": losses[0] - losses[1]}
    result = {}
    for name, values in gains.items():
        interval = stats.bootstrap(
            (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
        ).confidence_interval
        result[name] = {"mean": float(values.mean()), "low": float(interval.low), "high": float(interval.high)}
    return result


def run(settings: Settings, paths: Paths, backbone: str, tracker: Tracker, *, processes: int = 1) -> None:
    """Try points and settings, and write the trials, the best of them, and what it is worth.

    Args:
        settings: The stage's.
        paths: Where files lie.
        backbone: The backbone.
        tracker: Logs each trial.
        processes: Number of workers on this machine.
    """
    if not settings.search.enabled.of(backbone):
        _write(paths, backbone, None)
        console.log.info("%s: the search is off", backbone)
        return
    if processes < 1:
        raise UnfreezeError(f"--workers is {processes}: give 1 or more")
    tracker.prepare()
    journal = None
    if workers.role().kind != "worker":
        # Opened first: a search that runs already must not lose its activations to this one.
        journal = Journal(paths.search_folder(backbone) / "journal.jsonl")
        of_any_worker = paths.derived_features(backbone, "*")
        for left_by_a_killed_one in of_any_worker.parent.glob(of_any_worker.name):
            files.remove(left_by_a_killed_one)
    team = workers.chief_of(backbone, processes) if processes > 1 else nullcontext()
    with team:
        outcome = _search(settings, paths, backbone, journal, partial(tracker.log_trial, backbone))
        if outcome is None:
            return
        _write(paths, backbone, outcome)
        tracker.log_search(backbone)
    files.remove(paths.search_folder(backbone))


def _search(
    settings: Settings, paths: Paths, backbone: str, journal: Journal | None, report: Callable[[Row], Any]
) -> Outcome | None:
    """Run the trials of this process; return those of all, or None in a worker, whose chief knows them."""
    role = workers.role()
    console.import_tensorflow()
    from unfreeze.search import tuner
    from unfreeze.search.trials import Trials
    from unfreeze.training.heads import require_dropout
    from unfreeze.training.transfer import Transfer, TransferSettings

    search, folder = settings.search, paths.search_folder(backbone)
    phase = settings.train.finetune.of(backbone)
    transfer_settings = TransferSettings(settings.seed, settings.pixels, settings.head, settings.train)
    with Transfer.prepared(transfer_settings, paths, backbone, max_gb=search.max_gb, worker=role.name) as transfer:
        points = transfer.backbone.candidates(settings.unfreeze.candidates.of(backbone))
        configured, configured_point = transfer.backbone.named(settings.unfreeze.point.of(backbone))
        if search.dropout is not None:
            require_dropout(transfer.head, search.dropout.max)
        features = transfer.features.plan.determined_by
        resolved = settings_of(_as_json(settings), backbone)
        determined_by = {
            "points": list(points),
            "configured": configured,
            **{name: value for name, value in resolved.items() if not name.startswith(FREE)},
        }
        if journal is not None:
            journal.begin({**determined_by, "features": features})
        # Another machine may cut elsewhere and compute on another engine: that is the same search.
        digest = files.digest({**determined_by, **{name: features[name] for name in ("images", "weights", "split")}})
        transfer.train_head(settings.train.head.of(backbone))
        trials = Trials(
            transfer,
            transfer.head,
            phase.model_copy(update={"epochs": search.epochs, "patience": search.patience}),
            {**points, configured: configured_point},
            # A worker on another machine keeps its trials: those of other searches are none of this one.
            folder / digest,
            report=report,
            keep_states=find_oracle(search.oracle).resumes_trials,
        )
        space = tuner.Space(list(points), search, backbone, digest)
        if role.kind == "worker":
            workers.wait_for_chief(role)
            tuner.search(trials, space, search, seed=settings.seed, journal=None)
            return None
        workers.require_free_port(role)
        first = trials.run(0, configured, {"learning_rate": phase.learning_rate})
        others = tuner.search(trials, space, search, seed=settings.seed, journal=journal)
        scored = [trial for trial in (first, *others) if not trial["failed"]]
        if not scored:
            raise UnfreezeError(
                f"{backbone}: all {1 + len(others)} trials failed; the first: {first['failed']}. Change what they "
                f"have in common and remove {folder} to begin anew"
            )
        best = best_trial(scored)
        gain = None
        before, after = (trials.probabilities(trial["trial"]) for trial in (first, best))
        if before is not None and after is not None:
            gain = gain_over(before, after, transfer.features.plan.val.labels, settings.seed)
    console.log.info(
        "%s: best of %d trials: from %s at %.2g, score %.4f",
        backbone, 1 + len(others), best["unfreeze_from"], best["settings"]["learning_rate"], best["score"],
    )  # fmt: skip
    return Outcome([first, *others], best, gain, list(points))


def _as_json(settings: Settings) -> dict[str, Any]:
    """Return the settings as they stand in params.yaml."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {
        name: value.model_dump(mode="json") if isinstance(value, Section) else value for name, value in values.items()
    }


def _write(paths: Paths, backbone: str, outcome: Outcome | None) -> None:
    trials = outcome.trials if outcome else []
    record = {
        "best": _comparable(outcome.best) if outcome else None,
        "gain_over_configured": outcome.gain if outcome else None,
        "trials": [_comparable(trial) for trial in trials],
    }
    files.write_json(paths.search(backbone), record)
    files.write_csv(paths.trials(backbone), table_of(trials))


def _comparable(trial: Row) -> Row:
    return {name: value for name, value in trial.items() if name not in MEASURED}
