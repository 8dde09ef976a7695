"""Cuts the rows of a stage into shards, which any machine can compute and whose names say what determines them."""

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from unfreeze.cluster.tasks import Job, RunTasks
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.records.code import Source

# Computes rows from one number up to another, some at a time and in order.
Compute = Callable[[int, int], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Work:
    """Rows that can be computed in parts.

    Args:
        name: The stage, with its backbone if it has one: `extract@xception`.
        determined_by: All that the rows depend on, as JSON holds it: digests of code and inputs, settings.
        segments: Numbers of rows of the parts that follow each other and that no shard crosses: folds, views.
        load: Returns what computes rows, on any machine; a module-level function or a partial of one.
        loaded: What computes rows in this process, where it is there already; by default `load` returns it.
        name_rows: Says for people which rows those from one number up to another are.
    """

    name: str
    determined_by: Mapping[str, Any]
    segments: tuple[int, ...]
    load: Callable[[], Compute]
    loaded: Compute | None = None
    name_rows: Callable[[int, int], str] = "rows {} to {}".format

    @property
    def rows(self) -> int:
        """Number of all rows."""
        return sum(self.segments)

    def load_here(self) -> Compute:
        """Return what computes rows in this process."""
        return self.loaded or self.load()


@dataclass(frozen=True)
class Shard:
    """Some rows of a work that follow each other.

    Args:
        id: SHA-256 of what determines them.
        start: Number of the first row.
        stop: Number after the last row.
    """

    id: str
    start: int
    stop: int


def plan_shards(work: Work, rows_per_shard: int) -> list[Shard]:
    """Cut a work into shards; it depends on the work alone, not on who computes it.

    Args:
        work: The work.
        rows_per_shard: Most rows of a shard, 1 or more.

    Returns:
        The shards in the order of their rows.
    """
    shards, first = [], 0
    for segment in work.segments:
        end = first + segment
        for start in range(first, end, rows_per_shard):
            stop = min(start + rows_per_shard, end)
            name = json.dumps([work.name, dict(work.determined_by), start, stop], sort_keys=True)
            shards.append(Shard(hashlib.sha256(name.encode()).hexdigest(), start, stop))
        first = end
    return shards


def name_images(names: Sequence[str], start: int, stop: int) -> str:
    """Say which images some rows are of.

    >>> name_images(["a.png", "b.png", "c.png"], 1, 3)
    'images b.png to c.png'
    """
    return f"images {names[start]} to {names[stop - 1]}"


def require_same(expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuse to compute rows from other inputs than those that the driver sees.

    Args:
        expected: The driver's, by name.
        found: Those of this machine.

    Raises:
        UnfreezeError: Some are others.
    """
    if differing := [name for name, value in expected.items() if found.get(name) != value]:
        raise UnfreezeError(
            f"{platform.node()} would compute other rows, for {', '.join(differing)} differ: run `dvc pull` there, "
            "or share the checkout"
        )


def find_code_digest(paths: Paths, stage: str) -> str:
    """Return the digest of a stage's code, as the stage `code` writes it.

    Args:
        paths: The checkout.
        stage: Name of a module in `stages/`.
    """
    written = paths.code / f"{stage}.txt"
    # A stage that is run by hand may be the first that runs.
    return written.read_text(encoding="utf-8").strip() if written.exists() else Source(paths.root).digest(stage)


class Cluster(Protocol):
    """Does the work of a stage, here or on other machines."""

    def iterate_rows(self, work: Work, done: int = 0) -> Iterator[np.ndarray]:
        """Yield the rows of a work, some at a time and in order.

        Args:
            work: The work.
            done: Number of rows at the start that are not needed.
        """

    @property
    def threads(self) -> int:
        """Threads of each process that runs tasks."""

    def open_tasks(self, job: Job) -> AbstractContextManager[RunTasks]:
        """Yield what runs tasks of a job at the same time, in other processes.

        Args:
            job: What the tasks share.
        """
