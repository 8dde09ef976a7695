"""What is said of activations that there is no room for: what is done instead, what it costs, and how to avoid it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from unfreeze.planning.jobs import Job, Training, measure_rows
from unfreeze.runtime.console import describe_seconds

# How exactly the rows are known before the split: its folds are off by a few images.
MARGIN = 1.01
# A smaller part of a study's images as training fold is no sample that a search could rely on.
LEAST_SHARE = 0.05


@dataclass(frozen=True)
class Room:
    """Room for the activations of a backbone, GB of 10^9 bytes.

    Args:
        max_gb: What the setting allows.
        disk_gb: What the disk has left for them.
        copies: How many times they are on the disk.
    """

    max_gb: float
    disk_gb: float
    copies: int


def passes_limit(training: Training) -> bool:
    """Tell whether activations are not stored where they are wanted."""
    return not (training.stored and training.cached == training.wanted)


def store_all(job: Job) -> Job:
    """Return the same work with room for all activations."""
    training = job.training
    assert training is not None
    return replace(job, training=replace(training, cached=training.wanted, stored=True, room_mb=math.inf))


def describe_limit(backbone: str, job: Job, settings: Mapping[str, Any], room: Room, longer: float) -> str:
    """Return a sentence on activations that there is no room for, and one on what can be set instead.

    Args:
        backbone: The backbone.
        job: Its extraction.
        settings: Sections of params.yaml as JSON values.
        room: Room for the activations.
        longer: Seconds that the study takes longer than with room for all.
    """
    training = job.training
    assert training is not None
    wanted = measure_rows(job, training.wanted) / 1000
    instead = (
        f"are cut behind {training.cached.name} instead, {measure_rows(job, training.cached) / 1000:.1f} GB"
        if training.stored
        else "are computed in every epoch"
    )
    there = (
        f"extract.max_gb is {room.max_gb:g}"
        if room.max_gb <= room.disk_gb
        else f"the disk has room for {room.disk_gb:.1f} beside DVC's copy"
    )
    return (
        f"activations of {backbone} behind {training.wanted.name} take {wanted:.1f} GB, {there}: they {instead}, "
        f"about {describe_seconds(max(longer, 0.0))} longer. {_describe_remedies(job, settings, room, wanted)}"
    )


def _describe_remedies(job: Job, settings: Mapping[str, Any], room: Room, wanted: float) -> str:
    remedies = []
    if wanted > room.disk_gb:
        remedies.append(f"free {math.ceil((wanted * MARGIN - room.disk_gb) * room.copies)} GB of disk")
    if wanted > room.max_gb:
        remedies.append(f"set extract.max_gb={math.ceil(wanted * MARGIN)}")
    text = f"To store them {' and '.join(remedies)}"
    split = settings["split"]
    # Rows of the training fold that fit; those of the validation fold stay.
    rows = (job.train + job.val) * min(room.max_gb, room.disk_gb) / (wanted * MARGIN) - job.val
    share = math.floor(100 * split["train"] * rows / max(job.train, 1)) / 100
    if share < LEAST_SHARE:
        return text
    held_out = round(split["train"] + split.get("calibration", 0) - share, 9)
    return (
        f"{text}, or train on a sample of whole groups with the same share of each class: "
        f"split.train={share:g} split.calibration={held_out:g}"
    )
