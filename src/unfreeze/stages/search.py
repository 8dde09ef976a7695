"""Search the unfreeze point and how to fine-tune from it, on cached activations."""

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from unfreeze import files
from unfreeze.cluster.shards import Cluster
from unfreeze.errors import UnfreezeError
from unfreeze.features import derived
from unfreeze.paths import Paths
from unfreeze.records.trial import SearchResult, Trial
from unfreeze.runtime import console
from unfreeze.runtime.processors import count_processors
from unfreeze.search.journal import Journal
from unfreeze.search.outcome import tabulate
from unfreeze.search.planned import Planned
from unfreeze.settings.base import PixelScaling, Section
from unfreeze.settings.oracles import find_oracle
from unfreeze.settings.params import resolve_settings
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.training import Head, Search, Train, Unfreeze
from unfreeze.stages.tracker import Tracker

if TYPE_CHECKING:
    from unfreeze.search.trials import Trials
    from unfreeze.training.transfer import Transfer


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    pixels: PixelScaling
    head: Head
    train: Train
    unfreeze: Unfreeze
    search: Search
    minutes: float | None = declare_param("study.minutes")


# What may change while a search is stopped: its bounds, and what stands in the points already.
FREE = ("search.enabled", "search.max_", "search.deeper", "unfreeze.", "minutes")


def run(settings: Settings, paths: Paths, backbone: str, tracker: Tracker, cluster: Cluster) -> None:
    """Try points and settings, and write the trials, the best of them, and what it is worth."""
    is_enabled = settings.search.enabled.get(backbone)
    if not (is_enabled and settings.train.finetune.get(backbone).epochs):
        _write(paths, backbone, SearchResult(best=None, gain_over_configured=None, trials=()))
        why = "train.finetune.epochs is 0, so there is nothing to search" if is_enabled else "the search is off"
        console.log.info("%s: %s", backbone, why)
        return
    tracker.prepare()
    # Opened first: a search that runs already must not lose its activations to this one.
    journal = Journal(paths.search_folder(backbone) / "journal.jsonl")
    derived.remove(paths, backbone)
    try:
        result = _search(settings, paths, backbone, journal, partial(tracker.log_trial, backbone), cluster)
    finally:
        # Processes that are ended remove nothing.
        derived.remove(paths, backbone)
    _write(paths, backbone, result)
    tracker.log_search(backbone)
    files.remove(paths.search_folder(backbone))


def _search(
    settings: Settings,
    paths: Paths,
    backbone: str,
    journal: Journal,
    report: Callable[[Trial], None],
    cluster: Cluster,
) -> SearchResult:
    """Run the trials; return the outcome of all."""
    console.import_tensorflow()
    from unfreeze.search import backbone_search
    from unfreeze.search.rounds import open_rounds
    from unfreeze.training.heads import require_dropout
    from unfreeze.training.transfer import Transfer, limit_threads

    search = settings.search
    if search.at_once > 1:
        limit_threads(cluster.threads)
    with Transfer.prepare(settings, paths, backbone, max_gb=search.max_gb) as transfer:
        candidates = transfer.backbone.list_candidates(settings.unfreeze.candidates.get(backbone))
        points = list(candidates)
        configured, configured_point = transfer.backbone.resolve_point(settings.unfreeze.point.get(backbone))
        if search.dropout is not None:
            require_dropout(transfer.head, search.dropout.max)
        phase = settings.train.finetune.get(backbone)
        budget = transfer.make_budget(settings.minutes, phase)
        # Before the first trial: fine-tuning would refuse such minutes after it.
        budget.limit_epochs(
            transfer.backbone, [(configured_point, search.epochs)], configured_point, phase.epochs, trainings=1
        )
        features = transfer.features.plan.determined_by
        journal.begin(
            {
                "points": points,
                "configured": configured,
                **_select_fixed_settings(settings, backbone),
                "features": features,
            }
        )
        transfer.train_head(settings.train.head.get(backbone))
        trials = _make_trials(settings, paths, transfer, report)
        # As plain values: types like `ByBackbone[float]` cannot be pickled.
        values = TypeAdapter(Settings).dump_python(settings, mode="json")
        load = partial(load_trials, values, paths, backbone, features)
        with open_rounds(trials, cluster, load, search.at_once) as run_round:
            return backbone_search.run_trials(
                trials, run_round, points, search, configured, seed=settings.seed, journal=journal,
                budget=budget,
            )  # fmt: skip


def _make_trials(
    settings: Settings,
    paths: Paths,
    transfer: "Transfer",
    report: Callable[[Trial], None],
    *,
    is_worker: bool = False,
) -> "Trials":
    """Return the trials from a transfer's head."""
    from unfreeze.search.trials import Trials

    search, backbone = settings.search, transfer.backbone
    name = backbone.row.name
    configured, configured_point = backbone.resolve_point(settings.unfreeze.point.get(name))
    candidates = backbone.list_candidates(settings.unfreeze.candidates.get(name))
    # Deeper points are starts of blocks, and `all`.
    deeper = backbone.list_candidates(("auto", "all"))
    phase = settings.train.finetune.get(name)
    # A trial has a length, so that its rate can fade over it.
    schedule = "cosine" if phase.schedule == "restarts" else phase.schedule
    return Trials(
        transfer,
        transfer.head,
        phase.model_copy(update={"epochs": search.epochs, "patience": None, "schedule": schedule}),
        {**deeper, **candidates, configured: configured_point},
        paths.search_folder(name) / "trials",
        report=report,
        keep_states=find_oracle(search.oracle).resumes_trials,
        patience=search.patience,
        is_calibrated=search.label_smoothing is not None,
        counts_deaths=not is_worker,
    )


@contextmanager
def load_trials(
    values: dict[str, Any], paths: Paths, backbone: str, features: dict[str, str]
) -> Iterator[Callable[[Planned], Trial]]:
    """Yield what runs a trial in a process of its own, perhaps on another machine.

    Args:
        values: The stage's settings as JSON holds them.
        paths: The checkout, which all machines see.
        backbone: Name of the backbone.
        features: What the cached features are determined by.

    Raises:
        UnfreezeError: The features are others there.
    """
    console.import_tensorflow()
    from unfreeze.training.transfer import Transfer, limit_threads

    settings = TypeAdapter(Settings).validate_python(values)
    limit_threads(count_processors())
    mine = f"{platform.node()}-{os.getpid()}"
    with Transfer.prepare(settings, paths, backbone, max_gb=settings.search.max_gb, worker=mine) as transfer:
        if transfer.features.plan.determined_by != features:
            raise UnfreezeError(f"{platform.node()} has other features of {backbone}: share {paths.root} with it")
        transfer.expect_head(settings.train.head.get(backbone))
        trials = _make_trials(settings, paths, transfer, _report_nothing, is_worker=True)
        trials.load_head()

        def run_trial(planned: Planned) -> Trial:
            try:
                return trials.run(planned)
            except OSError as error:
                raise UnfreezeError(f"{platform.node()} cannot run trial {planned.number}: {error}") from error

        yield run_trial


def _report_nothing(trial: Trial) -> None:
    """Leave it to the process that gave out the trial, which receives it."""


def _select_fixed_settings(settings: Settings, backbone: str) -> dict[str, Any]:
    """Return the parameters that must not change while a search is stopped, by dotted name."""
    sections = {field.name: getattr(settings, field.name) for field in fields(settings)}
    values = {
        name: section.model_dump(mode="json") if isinstance(section, Section) else section
        for name, section in sections.items()
    }
    return {name: value for name, value in resolve_settings(values, backbone).items() if not name.startswith(FREE)}


def _write(paths: Paths, backbone: str, result: SearchResult) -> None:
    result.write(paths.search(backbone))
    files.write_csv(paths.trials(backbone), tabulate(result.trials))
