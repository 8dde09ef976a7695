"""One machine: rows are computed in this process or read from finished shards, and tasks run in others."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from unfreeze.cluster.processes import Processes
from unfreeze.cluster.running import open_run
from unfreeze.cluster.shards import Compute, Shard, Work, plan_shards
from unfreeze.cluster.storage import Storage
from unfreeze.cluster.tasks import Job, RunTasks
from unfreeze.runtime import console
from unfreeze.settings import cluster

# Rows that are read from a finished shard at a time.
BLOCK = 256


class Local:
    """The cluster of one machine.

    Args:
        settings: Size of shards, processors of a worker, tries.
        storage: Finished shards, as `unfreeze work` leaves them; nothing is written there.
    """

    def __init__(self, settings: cluster.Cluster, storage: Storage) -> None:
        self._settings = settings
        self._storage = storage

    def iterate_rows(self, work: Work, done: int = 0) -> Iterator[np.ndarray]:
        """Yield the rows, some at a time and in order, as `Cluster` says."""
        found, shards = 0, plan_shards(work, self._settings.rows_per_shard)
        compute: Compute | None = None
        with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
            for start, stop, shard in _join_missing(self._storage, shards, done):
                rows = self._storage.read(shard, Path(scratch)) if shard else None
                if shard is None or rows is None:
                    compute = compute or work.load_here()
                    yield from compute(start, stop)
                    continue
                found += 1
                for first in range(start - shard.start, len(rows), BLOCK):
                    yield rows[first : first + BLOCK]
        if found:
            console.log.info("%s: %d finished shards were taken from %s", work.name, found, self._storage.address)

    @property
    def threads(self) -> int:
        """Threads of each process that runs tasks."""
        return self._settings.cpus_per_worker

    def open_tasks(self, job: Job) -> AbstractContextManager[RunTasks]:
        """Yield what runs tasks at the same time, as `Cluster` says.

        Raises:
            UnfreezeError: A task failed too often.
        """
        return open_run(job, Processes(self._settings.cpus_per_worker), self._settings.tries)


def _join_missing(storage: Storage, shards: list[Shard], done: int) -> Iterator[tuple[int, int, Shard | None]]:
    """Yield ranges of rows with the finished shard that holds them; neighbours that are missing are one range."""
    start = done
    for shard in shards:
        if shard.stop <= done or not storage.holds(shard):
            continue
        if start < shard.start:
            yield start, shard.start, None
        yield max(start, shard.start), shard.stop, shard
        start = shard.stop
    if shards and start < shards[-1].stop:
        yield start, shards[-1].stop, None
