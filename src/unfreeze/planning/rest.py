"""What is left of a study while one of its stages runs: handed over from the plan in a file that decides no bytes."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.planning.measurements import Measurement, is_kept
from unfreeze.planning.plan import Plan
from unfreeze.records.record import Record

# A machine that is faster or slower than planned shows after so many planned seconds.
LEAST_SECONDS = 20.0
# Measured stages correct what is left by this factor at most.
MOST_CORRECTION = 3.0
# A study is begun so soon after its plan, seconds. A stage that begins later, even for a slow machine, belongs to
# another run.
SECONDS_TO_BEGIN = 900.0


class HandedOver(Record):
    """The part of a plan that stages read.

    Args:
        params: Digest of the parameters that it is of.
        made: When it was made, seconds since 1970.
        stages: Names and seconds of the stages that run, in their order.
    """

    params: str
    made: float
    stages: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Rest:
    """What is left of a study when a stage begins.

    Args:
        own: Seconds of the stage itself.
        after: Seconds of the stages after it.
    """

    own: float
    after: float


def hand_over(paths: Paths, plan: Plan, params: Any, made: float) -> None:
    """Write what stages count down from; where that cannot be written they show no rest of the study.

    Args:
        paths: The checkout.
        plan: The plan.
        params: All parameters as JSON values.
        made: Now, seconds since 1970.
    """
    stages = tuple((stage.name, stage.seconds) for stage in plan.running if stage.seconds is not None)
    with suppress(OSError):
        if not is_kept(paths.planning):
            return
        HandedOver(params=files.digest(params), made=made, stages=stages).write(paths.plan)


def read_rest(paths: Paths, name: str, params: Any, measurements: Sequence[Measurement]) -> Rest | None:
    """Return what is left when a stage begins; None if the last plan is not of these parameters, or lacks the stage.

    Args:
        paths: The checkout.
        name: The stage, with its backbone.
        params: All parameters as JSON values.
        measurements: What was measured on this machine.
    """
    if not paths.plan.exists():
        return None
    try:
        handed = HandedOver.read(paths.plan)
    # Of another version, or cut short.
    except (UnfreezeError, OSError):
        return None
    return compute_rest(handed, name, measurements, time.time()) if handed.params == files.digest(params) else None


def compute_rest(handed: HandedOver, name: str, measurements: Sequence[Measurement], now: float) -> Rest | None:
    """Return what is left when a stage begins, corrected by how long the stages since the plan took.

    Args:
        handed: The plan.
        name: The stage, with its backbone.
        measurements: What was measured on this machine.
        now: Seconds since 1970.

    Returns:
        None if the plan lacks the stage, or is too old.
    """
    names = [planned for planned, _ in handed.stages]
    if name not in names:
        return None
    before = sum(seconds for _, seconds in handed.stages[: names.index(name)])
    if now > handed.made + SECONDS_TO_BEGIN + MOST_CORRECTION * before:
        return None
    taken = {
        f"{measured.stage}@{measured.backbone}" if measured.backbone else measured.stage: measured.seconds
        for measured in measurements
        if measured.begun >= handed.made
    }
    place = names.index(name)
    pairs = [(seconds, taken[planned]) for planned, seconds in handed.stages[:place] if planned in taken]
    expected = sum(seconds for seconds, _ in pairs)
    factor = sum(seconds for _, seconds in pairs) / expected if expected >= LEAST_SECONDS else 1.0
    factor = min(max(factor, 1 / MOST_CORRECTION), MOST_CORRECTION)
    own, after = handed.stages[place][1], sum(seconds for _, seconds in handed.stages[place + 1 :])
    return Rest(own * factor, after * factor)
