"""Works that take their time, in a module of its own: workers import it, and little else."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from unfreeze.cluster.shards import Compute, Work


def slow_down(work: Work, journal: Path, seconds: float) -> Work:
    """Return a work that takes so long for each call, and that notes rows and process of each."""
    return replace(work, load=partial(_load_slowly, work, journal, seconds), loaded=None)


def _load_slowly(work: Work, journal: Path, seconds: float) -> Compute:
    return partial(_compute_slowly, work.load(), journal, seconds)


def _compute_slowly(compute: Compute, journal: Path, seconds: float, start: int, stop: int) -> Iterator[np.ndarray]:
    with journal.open("a") as stream:
        stream.write("".join(f"{row} {os.getpid()}\n" for row in range(start, stop)))
    time.sleep(seconds)
    yield from compute(start, stop)
