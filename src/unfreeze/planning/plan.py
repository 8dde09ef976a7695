"""The plan of a study: what will become of each stage, what it takes, and what does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unfreeze.planning import limits
from unfreeze.planning.changes import Outlook
from unfreeze.planning.forecast import Forecast, Past, compare, forecast
from unfreeze.planning.jobs import OF_BACKBONE, Job, Scale, describe_choice, describe_deeper, describe_job
from unfreeze.planning.machine import Room, Speed
from unfreeze.planning.networks import Network
from unfreeze.records.record import Record

# DVC keeps a copy of each output where the file system cannot share one: features/cache.py reckons with it, too.
COPIES = 2
MB = 1e6
# Memory that the rest of the system needs while a stage runs.
SPARE_GB = 0.3
# They take the same time whatever the images are.
NEED_NO_IMAGES = ("code", "validate", "pretrained")


class PlannedStage(Record):
    """A stage of the plan.

    Args:
        name: The stage, with its backbone, such as `extract@xception`.
        action: `run`, `restore` if DVC's cache has the results, or `keep`.
        reasons: What has changed.
        follows: The stages that run and write what it reads.
        seconds: How long it takes with DVC's own work; None where that is unknown.
        disk_mb: What it leaves on the disk with DVC's copy, MB of 10^6 bytes.
        scratch_mb: What it takes on the disk while it runs, besides.
        peak_mb: Most memory, MB of 2^20 bytes.
        measured: Whether the time follows from earlier runs of the stage on this machine.
    """

    name: str
    action: str
    reasons: tuple[str, ...]
    follows: tuple[str, ...] = ()
    seconds: float | None = 0.0
    disk_mb: float | None = 0.0
    scratch_mb: float | None = 0.0
    peak_mb: float | None = 0.0
    measured: bool = False

    @property
    def why(self) -> str:
        """The reasons for people; stages that run once a backbone are named once."""
        follows = list(dict.fromkeys(split_name(name)[0] for name in self.follows))
        because = [f"{', '.join(follows)} {'run' if len(self.follows) > 1 else 'runs'}"] if follows else []
        return "; ".join([*self.reasons, *because])


class Plan(Record):
    """The plan of a study.

    Args:
        stages: All stages in the order in which they run.
        images: Number of images; None if nobody knows before they are fetched.
        seconds: How long all takes; None where a stage's time is unknown.
        disk_gb: What it leaves on the disk, with what a stage takes besides while it runs, GB of 10^9 bytes.
        free_disk_gb: What is free.
        memory_gb: Most memory, GB of 10^9 bytes.
        free_memory_gb: What is free.
        does_not_fit: What there is no room for, one sentence each.
        repeats: Whether stages run only to make again what dvc.lock knows.
        slowness: What makes this machine slow, one sentence each, if anything runs.
        choices: What is decided on the way, one sentence each: whether activations of a backbone are stored, and why;
            which trials may follow.
    """

    stages: tuple[PlannedStage, ...]
    images: int | None
    seconds: float | None
    disk_gb: float | None
    free_disk_gb: float
    memory_gb: float | None
    free_memory_gb: float
    does_not_fit: tuple[str, ...]
    repeats: bool = False
    slowness: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def running(self) -> tuple[PlannedStage, ...]:
        """The stages that run."""
        return tuple(stage for stage in self.stages if stage.action == "run")


@dataclass(frozen=True)
class Study:
    """What costs follow from.

    Args:
        settings: Sections of params.yaml as JSON values.
        scale: Its size; None if nobody knows how many images there are.
        networks: The layers of its backbones, by name.
    """

    settings: Mapping[str, Any]
    scale: Scale | None
    networks: Mapping[str, Network]


def make_plan(
    outlooks: Sequence[Outlook],
    study: Study,
    pasts: Sequence[Past],
    speed: Speed,
    room: Room,
    *,
    slowness: tuple[str, ...] = (),
) -> Plan:
    """Return the plan.

    Args:
        outlooks: What will become of each stage.
        study: What costs follow from.
        pasts: What stages took on this machine.
        speed: How fast it is, for stages that it has not run yet.
        room: What is free.
        slowness: What makes this machine slow, one sentence each.
    """
    stages, moved, choices = [], [], []
    for outlook in outlooks:
        stage, backbone = split_name(outlook.step.name)
        planned = PlannedStage(
            name=outlook.step.name,
            action=outlook.action,
            reasons=tuple(reason.text for reason in outlook.reasons if reason.kind != "upstream"),
            follows=tuple(reason.text for reason in outlook.reasons if reason.kind == "upstream"),
        )
        if outlook.action == "run":
            job = describe(stage, backbone, study, room)
            if stage == "extract" and job is not None and job.training is not None:
                choices.append(describe_choice(str(backbone), job))
                if limits.passes_limit(job.training):
                    moved.append(_tell_limit(str(backbone), study, job, pasts, speed, room))
            if stage == "search" and job is not None and job.training is not None:
                choices.append(describe_deeper(str(backbone), job, study.settings))
            planned = _add_forecast(planned, forecast(job, backbone, pasts, speed) if job else None)
        stages.append(planned)
    running = [stage for stage in stages if stage.action == "run"]
    unknown = any(stage.seconds is None for stage in running)
    return Plan(
        stages=tuple(stages),
        images=study.scale.images if study.scale else None,
        seconds=None if unknown else sum(stage.seconds or 0.0 for stage in running),
        disk_gb=None if unknown else _most_disk(running) * MB / 1e9,
        free_disk_gb=room.disk_gb,
        memory_gb=None if unknown else max((convert_to_gb(stage.peak_mb or 0.0) for stage in running), default=0.0),
        free_memory_gb=room.memory_gb,
        does_not_fit=(*moved, *_find_what_does_not_fit(running, room)),
        repeats=any(outlook.repeats for outlook in outlooks),
        slowness=slowness if running else (),
        choices=tuple(filter(None, choices)),
    )


def describe(stage: str, backbone: str | None, study: Study, room: Room) -> Job | None:
    """Return what a stage has to do; None if the number of images is unknown and matters.

    Args:
        stage: Name of the stage.
        backbone: The backbone, for a stage that runs once a backbone.
        study: What costs follow from.
        room: What is free: activations take half of the disk at most.
    """
    if study.scale is None and stage not in NEED_NO_IMAGES:
        return None
    scale = study.scale or Scale(images=0, raw_mb=0.0, backbones=1, seeds=0)
    network = study.networks.get(backbone or "") if stage in OF_BACKBONE else None
    return describe_job(stage, backbone, study.settings, scale, network, free_mb=room.disk_gb * 1000 / COPIES)


def split_name(name: str) -> tuple[str, str | None]:
    """Return stage and backbone of a stage's name.

    >>> split_name("extract@xception"), split_name("check")
    (('extract', 'xception'), ('check', None))
    """
    stage, _, backbone = name.partition("@")
    return stage, backbone or None


def convert_to_gb(memory_mb: float) -> float:
    """Return memory in GB of 10^9 bytes, as makers count; Linux counts in MB of 2^20."""
    return memory_mb * 2**20 / 1e9


def _add_forecast(planned: PlannedStage, expected: Forecast | None) -> PlannedStage:
    if expected is None:
        return planned.model_copy(update=dict.fromkeys(("seconds", "disk_mb", "scratch_mb", "peak_mb")))
    return planned.model_copy(
        update={
            "seconds": expected.seconds,
            "disk_mb": expected.cost.disk_mb * COPIES,
            "scratch_mb": expected.cost.scratch_mb,
            "peak_mb": expected.peak_mb,
            "measured": expected.measured,
        }
    )


def _tell_limit(backbone: str, study: Study, job: Job, pasts: Sequence[Past], speed: Speed, room: Room) -> str:
    """Return what is to be said of activations that there is no room for."""
    longer = 0.0
    for stage in ("extract", "search", "finetune"):
        of_stage = describe(stage, backbone, study, room)
        assert of_stage is not None
        longer += compare(of_stage, limits.store_all(of_stage), backbone, pasts, speed)
    limit = limits.Room(study.settings["extract"]["max_gb"], room.disk_gb / COPIES, COPIES)
    return limits.describe_limit(backbone, job, study.settings, limit, longer)


def _most_disk(running: Sequence[PlannedStage]) -> float:
    """Return the most that is on the disk at one time, MB: what was left so far, and what a stage takes besides."""
    left = most = 0.0
    for stage in running:
        left += stage.disk_mb or 0.0
        most = max(most, left + (stage.scratch_mb or 0.0))
    return most


def _find_what_does_not_fit(running: Sequence[PlannedStage], room: Room) -> list[str]:
    """Return a sentence for each stage from which on the disk is full, or that has too little memory."""
    found, left = [], 0.0
    for stage in running:
        left += stage.disk_mb or 0.0
        needed = (left + (stage.scratch_mb or 0.0)) / 1000
        if needed > room.disk_gb:
            found.append(
                f"{stage.name} needs {needed:.1f} GB of disk with what comes before it, {room.disk_gb:.1f} GB are "
                "free: free some, or lower preprocess.image_size or extract.max_gb"
            )
            break
    for stage in running:
        needed = convert_to_gb(stage.peak_mb or 0.0)
        if needed > room.memory_gb - SPARE_GB:
            found.append(
                f"{stage.name} needs {needed:.1f} GB of memory, {room.memory_gb:.1f} GB are free: end other "
                "programs, or lower the batch size or preprocess.image_size"
            )
    return found
