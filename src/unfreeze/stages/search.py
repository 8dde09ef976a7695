"""Search the unfreeze point and how to fine-tune from it, on cached activations."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.trial import SearchResult
from unfreeze.runtime import console
from unfreeze.search import workers
from unfreeze.search.journal import Journal
from unfreeze.search.outcome import Outcome, Row, tabulate
from unfreeze.settings.base import PixelScaling, Section
from unfreeze.settings.oracles import find_oracle
from unfreeze.settings.params import resolve_settings
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


# What may change while a search is stopped: its bounds, and what stands in the points already.
FREE = ("search.enabled", "search.max_", "unfreeze.")


def run(settings: Settings, paths: Paths, backbone: str, tracker: Tracker, *, processes: int = 1) -> None:
    """Try points and settings, and write the trials, the best of them, and what it is worth.

    Args:
        settings: The stage's.
        paths: Where files lie.
        backbone: The backbone.
        tracker: Logs each trial.
        processes: Number of workers on this machine.
    """
    if not settings.search.enabled.get(backbone):
        _write(paths, backbone, None)
        console.log.info("%s: the search is off", backbone)
        return
    if processes < 1:
        raise UnfreezeError(f"--workers is {processes}: give 1 or more")
    tracker.prepare()
    journal = None
    if workers.read_role().kind != "worker":
        # Opened first: a search that runs already must not lose its activations to this one.
        journal = Journal(paths.search_folder(backbone) / "journal.jsonl")
        of_any_worker = paths.derived_features(backbone, "*")
        for left_by_a_killed_one in of_any_worker.parent.glob(of_any_worker.name):
            files.remove(left_by_a_killed_one)
    team = workers.lead_workers(backbone, processes) if processes > 1 else nullcontext()
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
    """Run the trials of this process; return the outcome of all, or None in a worker, whose chief knows them."""
    role = workers.read_role()
    console.import_tensorflow()
    from unfreeze.search import backbone_search, tuner
    from unfreeze.search.trials import Trials
    from unfreeze.training.heads import require_dropout
    from unfreeze.training.transfer import Transfer

    search = settings.search
    phase = settings.train.finetune.get(backbone)
    with Transfer.prepare(settings, paths, backbone, max_gb=search.max_gb, worker=role.name) as transfer:
        points = transfer.backbone.list_candidates(settings.unfreeze.candidates.get(backbone))
        configured, configured_point = transfer.backbone.resolve_point(settings.unfreeze.point.get(backbone))
        if search.dropout is not None:
            require_dropout(transfer.head, search.dropout.max)
        determined_by = {
            "points": list(points),
            "configured": configured,
            **_select_fixed_settings(settings, backbone),
        }
        features = transfer.features.plan.determined_by
        if journal is not None:
            journal.begin({**determined_by, "features": features})
        digest = backbone_search.identify(determined_by, features)
        transfer.train_head(settings.train.head.get(backbone))
        trials = Trials(
            transfer,
            transfer.head,
            phase.model_copy(update={"epochs": search.epochs, "patience": search.patience}),
            {**points, configured: configured_point},
            # Include the search's digest, so that a remote worker does not reuse trials of another search.
            paths.search_folder(backbone) / digest,
            report=report,
            keep_states=find_oracle(search.oracle).resumes_trials,
        )
        space = tuner.Space(list(points), search, backbone, digest)
        return backbone_search.run_trials(trials, space, search, configured, seed=settings.seed, journal=journal)


def _select_fixed_settings(settings: Settings, backbone: str) -> dict[str, Any]:
    """Return the parameters that must not change while a search is stopped, by dotted name."""
    sections = {field.name: getattr(settings, field.name) for field in fields(settings)}
    values = {
        name: section.model_dump(mode="json") if isinstance(section, Section) else section
        for name, section in sections.items()
    }
    return {name: value for name, value in resolve_settings(values, backbone).items() if not name.startswith(FREE)}


def _write(paths: Paths, backbone: str, outcome: Outcome | None) -> None:
    record = outcome.to_record() if outcome else SearchResult(best=None, gain_over_configured=None, trials=())
    record.write(paths.search(backbone))
    files.write_csv(paths.trials(backbone), tabulate(outcome.trials if outcome else []))
