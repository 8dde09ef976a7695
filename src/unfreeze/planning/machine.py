"""The machine that a study runs on: its name, its room, and how fast it is beside the reference machine."""

import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

CPUINFO = Path("/proc/cpuinfo")
# Instruction sets that change how fast networks run.
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# Where containers are told how much memory they may use, in both versions of control groups.
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


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


@cache
def name_machine() -> str:
    """Return what times depend on: the processor, the cores this process may use, and its instruction sets."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    known = [name for name in INSTRUCTION_SETS if name in flags]
    return ", ".join([fields.get("model name", platform.machine()), f"{count_cores()} cores", *known])


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def measure_room(root: Path) -> Room:
    """Return free disk space and memory.

    Args:
        root: The checkout.
    """
    memory = psutil.virtual_memory().available
    limits = [int(text) for path in MEMORY_LIMITS if path.exists() and (text := path.read_text().strip()).isdigit()]
    return Room(shutil.disk_usage(root).free / 1e9, min([memory, *limits]) / 1e9)


def probe_speed() -> Speed:
    """Measure in about a second how fast this machine is beside the one that the reference costs were measured on."""
    # Imported here: a plan with measured times needs no probe.
    import cv2
    import numpy as np

    random = np.random.default_rng(0)
    matrix = random.standard_normal((1024, 1024)).astype(np.float32)
    encoded = cv2.imencode(".jpg", random.integers(0, 256, (480, 640, 3)).astype(np.uint8))[1]
    return Speed(
        arithmetic=_fastest(lambda: matrix @ matrix) / REFERENCE_SECONDS.arithmetic,
        decoding=_fastest(lambda: cv2.imdecode(encoded, cv2.IMREAD_COLOR)) / REFERENCE_SECONDS.decoding,
        python=_fastest(lambda: sum(number * number for number in range(100_000))) / REFERENCE_SECONDS.python,
    )


def _fastest(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some calls: what else runs on the machine only makes them slower."""
    work()
    taken: list[float] = []
    begun = time.perf_counter()
    while len(taken) < 5 or time.perf_counter() - begun < 0.25:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


# What the probe's three pieces of work take on the reference machine, seconds: the one of costs.py.
REFERENCE_SECONDS = Speed(arithmetic=0.0105, decoding=0.0095, python=0.0064)
