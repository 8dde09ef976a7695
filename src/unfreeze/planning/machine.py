"""The machine that a study runs on: its name, its room, and how fast it is beside the reference machine."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from unfreeze.runtime.processor_kind import find_processor_kind
from unfreeze.runtime.processors import count_processors

# Where containers are told how much memory they may use, in both versions of control groups.
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

PROBE_SECONDS = 0.3
# The reference machine is that of the constants in costs.py.
REFERENCE_CORES = 2


@dataclass(frozen=True)
class Room:
    """What is left for a study.

    Args:
        disk_gb: Free space where the checkout is, GB of 10^9 bytes.
        memory_gb: Memory that a process may still take, GB of 10^9 bytes.
    """

    disk_gb: float
    memory_gb: float


@dataclass(frozen=True)
class Speed:
    """Seconds that each kind of work takes here for one second on the reference machine.

    Args:
        arithmetic: Convolutions and products of matrices.
        decoding: Decoding of images.
        python: Python, and start-up of libraries.
    """

    arithmetic: float = 1.0
    decoding: float = 1.0
    python: float = 1.0


# What a piece of each kind of work takes on the reference machine, seconds.
REFERENCE_SECONDS = Speed(arithmetic=0.00133, decoding=0.00094, python=0.00074)


@cache
def name_machine() -> str:
    """Return what times depend on: the processor, the cores this process may use, and its instruction sets."""
    kind = find_processor_kind()
    return ", ".join([kind.name, f"{count_processors()} cores", *kind.instruction_sets])


def measure_room(root: Path) -> Room:
    """Return free disk space and memory.

    Args:
        root: The checkout.
    """
    free = min(psutil.virtual_memory().available / 1e9, measure_memory())
    return Room(shutil.disk_usage(root).free / 1e9, free)


def measure_memory() -> float:
    """Return the memory of this machine, or what a container may use of it, GB of 10^9 bytes."""
    limits = [int(text) for path in MEMORY_LIMITS if path.exists() and (text := path.read_text().strip()).isdigit()]
    total: int = psutil.virtual_memory().total
    return min([total, *limits]) / 1e9


def probe_speed() -> Speed:
    """Measure in about a second how fast this machine is beside the reference machine.

    The work is done by one thread in pieces of a millisecond, and the fastest piece counts, so that other programs
    that run meanwhile do not. Networks and decoding are divided among the cores.
    """
    # Imported here: a plan with measured times needs no probe.
    import cv2
    import numpy as np
    from threadpoolctl import threadpool_limits

    random = np.random.default_rng(0)
    matrix = random.standard_normal((512, 512)).astype(np.float32)
    smooth = cv2.GaussianBlur(random.integers(0, 256, (480, 640, 3)).astype(np.uint8), (0, 0), 3)
    encoded = cv2.imencode(".jpg", smooth)[1]
    with threadpool_limits(1):
        taken = Speed(
            arithmetic=_fastest(lambda: matrix @ matrix),
            decoding=_fastest(lambda: cv2.imdecode(encoded, cv2.IMREAD_COLOR)),
            python=_fastest(lambda: sum(number * number for number in range(20_000))),
        )
    shared = REFERENCE_CORES / count_processors()
    return Speed(
        arithmetic=taken.arithmetic / REFERENCE_SECONDS.arithmetic * shared,
        decoding=taken.decoding / REFERENCE_SECONDS.decoding * shared,
        python=taken.python / REFERENCE_SECONDS.python,
    )


def _fastest(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of many calls."""
    work()
    fastest, begun = math.inf, time.perf_counter()
    while time.perf_counter() - begun < PROBE_SECONDS:
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest
