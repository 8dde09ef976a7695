"""One machine: rows are computed in this process, but for those of shards that are finished already."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unfreeze.cluster.shards import Compute, Shard, Work, plan_shards
from unfreeze.cluster.storage import Storage
from unfreeze.runtime import console

# Rows that are read from a finished shard at a time.
BLOCK = 256


class Local:
    """The cluster of one machine.

    Args:
        storage: Finished shards, as `unfreeze work` leaves them; nothing is written there.
        rows_per_shard: Most rows of a shard.
    """

    def __init__(self, storage: Storage, rows_per_shard: int) -> None:
        self._storage = storage
        self._rows_per_shard = rows_per_shard

    def iterate_rows(self, work: Work, done: int = 0) -> Iterator[np.ndarray]:
        """Yield the rows, some at a time and in order, as `Cluster` says."""
        found = 0
        compute: Compute | None = None
        with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
            for start, stop, shard in _join_missing(self._storage, plan_shards(work, self._rows_per_shard), done):
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
