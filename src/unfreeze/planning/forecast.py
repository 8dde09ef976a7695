"""How long a stage takes here: from what it took before, scaled by how much more there is to do."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from unfreeze.planning.costs import Cost, estimate
from unfreeze.planning.jobs import OF_BACKBONE, Job, Scale, describe_job
from unfreeze.planning.machine import Speed
from unfreeze.planning.measurements import Measurement
from unfreeze.planning.networks import Network

# So many of the closest earlier runs are looked at: their median forgets the one during which the machine was busy.
RUNS = 3
# Work that differs by less counts as the same amount.
ALIKE = 0.05
# Stages that take so many seconds together tell how fast a machine is, better than a probe does.
LEAST_SECONDS = 60.0


@dataclass(frozen=True)
class Past:
    """An earlier run of a stage on this machine.

    Args:
        backbone: The backbone, for a stage that runs once a backbone.
        job: What it had to do.
        seconds: What it took.
        peak_mb: Most memory, MB of 2^20 bytes.
    """

    backbone: str | None
    job: Job
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Forecast:
    """What a stage is expected to take.

    Args:
        seconds: With DVC's own work.
        peak_mb: Most memory, MB of 2^20 bytes.
        cost: What its formula says.
        measured: Whether an earlier run was looked at.
    """

    seconds: float
    peak_mb: float
    cost: Cost
    measured: bool


def recall(measurements: Sequence[Measurement], networks: Sequence[Network | None]) -> list[Past]:
    """Return earlier runs with what they had to do; those whose settings are another version's are left out.

    Args:
        measurements: What was measured on this machine.
        networks: The backbone's layers for each measurement; None for a stage that runs once, or if they are unknown.
    """
    pasts = []
    for measured, network in zip(measurements, networks, strict=True):
        if measured.stage in OF_BACKBONE and network is None:
            continue
        scale = Scale(
            images=measured.images or 0,
            raw_mb=(measured.raw_bytes or 0) / 1e6,
            backbones=measured.backbones,
            seeds=measured.seeds,
        )
        try:
            job = describe_job(measured.stage, measured.backbone, measured.settings, scale, network)
        except (ValueError, KeyError):
            continue
        pasts.append(Past(measured.backbone, job, measured.seconds, measured.peak_mb))
    return pasts


def forecast(job: Job, backbone: str | None, pasts: Sequence[Past], speed: Speed) -> Forecast:
    """Return what a stage is expected to take.

    Args:
        job: What it has to do.
        backbone: The backbone, for a stage that runs once a backbone.
        pasts: Earlier runs on this machine, oldest first.
        speed: How fast this machine is, for a stage that it has not run yet.
    """
    cost = estimate(job)
    closest = find_closest(job, backbone, pasts)
    if not closest:
        return Forecast(cost.work(speed) + cost.overhead(speed), cost.peak_mb, cost, measured=False)
    slowness = _measure_slowness(closest)
    heaviness = statistics.median(past.peak_mb / estimate(past.job).peak_mb for past in closest)
    return Forecast(
        cost.work(Speed()) * slowness + cost.overhead(Speed()), cost.peak_mb * heaviness, cost, measured=True
    )


def compare(job: Job, other: Job, backbone: str | None, pasts: Sequence[Past], speed: Speed) -> float:
    """Return how many seconds more a job takes than another one, both as fast as earlier runs like the first.

    Args:
        job: What a stage has to do.
        other: What it would have to do instead.
        backbone: The backbone, for a stage that runs once a backbone.
        pasts: Earlier runs on this machine, oldest first.
        speed: How fast this machine is, for a stage that it has not run yet.
    """
    cost, instead, closest = estimate(job), estimate(other), find_closest(job, backbone, pasts)
    if not closest:
        return cost.work(speed) - instead.work(speed)
    return (cost.work(Speed()) - instead.work(Speed())) * _measure_slowness(closest)


def _measure_slowness(pasts: Sequence[Past]) -> float:
    """Return how many times longer stages took than on the reference machine."""
    return statistics.median(past.seconds / estimate(past.job).work(Speed()) for past in pasts)


def measure_speed(pasts: Sequence[Past]) -> Speed | None:
    """Return how fast this machine was beside the reference machine; None if it has not done enough to tell.

    Args:
        pasts: Earlier runs on this machine, of any stage.
    """
    expected = sum(estimate(past.job).work(Speed()) for past in pasts)
    if expected < LEAST_SECONDS:
        return None
    factor = sum(past.seconds for past in pasts) / expected
    return Speed(factor, factor, factor)


def find_closest(job: Job, backbone: str | None, pasts: Sequence[Past]) -> list[Past]:
    """Return the latest of the runs of the same stage that are the most alike: same backbone, then amount of work."""
    wanted = estimate(job).work(Speed())

    def distance(past: Past) -> tuple[bool, int]:
        apart = abs(math.log(estimate(past.job).work(Speed()) / wanted))
        return past.backbone != backbone, round(apart / ALIKE)

    same = [past for past in pasts if past.job.stage == job.stage]
    if not same:
        return []
    nearest = min(map(distance, same))
    return [past for past in same if distance(past) == nearest][-RUNS:]
