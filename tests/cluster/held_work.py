"""Works that wait to be let go on, in a module of its own: workers import it, and little else."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from unfreeze.cluster.shards import Compute, Work


def hold_back(work: Work, journal: Path) -> Work:
    """Return a work that notes each row and its process, and waits there until `let_go` lets it go on."""
    return replace(work, load=partial(_load_held, work, journal), loaded=None)


def let_go(journal: Path, rows: int) -> None:
    """Let so many rows be computed, the first in the journal."""
    written = journal.with_name("written")
    written.write_text(str(rows))
    written.replace(journal.with_name("let go"))


def _load_held(work: Work, journal: Path) -> Compute:
    return partial(_compute_held, work.load(), journal)


def _compute_held(compute: Compute, journal: Path, start: int, stop: int) -> Iterator[np.ndarray]:
    lines = [f"{row} {os.getpid()}" for row in range(start, stop)]
    with journal.open("a") as stream:
        stream.write("".join(f"{line}\n" for line in lines))
    number = journal.read_text().splitlines().index(lines[-1])
    while int(journal.with_name("let go").read_text()) <= number:
        time.sleep(0.02)
    yield from compute(start, stop)
