"""Many machines: shards are computed by Ray's actors and read back from the storage that all machines see."""

import logging
import os
import socket
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.cluster.binding import claim_processors
from unfreeze.cluster.local import BLOCK
from unfreeze.cluster.node import Node, describe_node, find_checkout, find_differences
from unfreeze.cluster.shards import Compute, Shard, Work, plan_shards
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console, processors
from unfreeze.settings import cluster

ADDRESS = "RAY_ADDRESS"
# Seconds until a cluster without free processors is told to the user.
PATIENCE = 30.0
# Seconds in which the head must take a connection.
SECONDS_TO_ANSWER = 10.0


class Worker:
    """Computes shards on a machine of the cluster, in a process of its own.

    Args:
        cpus: Processors that it may use.
    """

    def __init__(self, cpus: int) -> None:
        # Plugins are found from the working folder, and Ray's is that of `ray start`.
        os.chdir(find_checkout())
        self._processors = claim_processors(cpus)
        processors.limit(cpus)
        self._loaded: tuple[str, Compute] | None = None

    def greet(self) -> Node:
        """Return what this machine computes with."""
        return describe_node()

    def compute(self, name: str, load: Callable[[], Compute], storage: str, shard: Shard) -> None:
        """Compute a shard and keep it; the compiled engine stays for the next shard of the same work.

        Args:
            name: Of the work.
            load: Returns what computes its rows.
            storage: Address of the storage.
            shard: The shard.
        """
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = (name, load())
        Storage(storage).write(shard, self._loaded[1](shard.start, shard.stop))


class RayCluster:
    """The cluster that RAY_ADDRESS names.

    Args:
        settings: Size of shards, processors of a worker, tries.
        storage: Where shards are kept.
    """

    def __init__(self, settings: cluster.Cluster, storage: Storage) -> None:
        self._settings = settings
        self._storage = storage

    def iterate_rows(self, work: Work, done: int = 0) -> Iterator[np.ndarray]:
        """Yield the rows, some at a time and in order, as `Cluster` says.

        Raises:
            UnfreezeError: No Ray answers, a machine would compute otherwise, or a shard failed too often.
        """
        shards = [shard for shard in plan_shards(work, self._settings.rows_per_shard) if shard.stop > done]
        with (
            _Run(work, self._settings, self._storage) as run,
            tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch,
        ):
            run.begin([shard for shard in shards if not self._storage.holds(shard)])
            for shard in shards:
                while (rows := run.read(shard, Path(scratch))) is None:
                    # It was finished, and is damaged.
                    run.begin([shard])
                for first in range(max(done - shard.start, 0), len(rows), BLOCK):
                    yield rows[first : first + BLOCK]


def connect() -> None:
    """Join the cluster that RAY_ADDRESS names.

    Raises:
        UnfreezeError: Ray is not installed, no address is given, or no Ray of this version answers there.
    """
    # Ray reports its use to its makers unless it is told not to.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise UnfreezeError("cluster.engine=ray needs the extra `cluster`: `make cluster` installs it") from error
    address = os.environ.get(ADDRESS)
    if not address:
        raise UnfreezeError(
            f"cluster.engine=ray, and {ADDRESS} is not set: set it to the address of the machine where "
            "`ray start --head` runs, such as 10.0.0.1:6379"
        )
    if ray.is_initialized():
        return
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise UnfreezeError(
            f"no Ray {ray.__version__} answers at {ADDRESS}={address} ({_shorten(error)}): start it there by "
            "`.venv/bin/ray start --head`, with the same versions of Ray and Python"
        ) from error


def _knock(address: str) -> None:
    """Find out in seconds whether anything listens; Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()


class _Run:
    """The shards of one work that are not finished, and the workers that compute them."""

    def __init__(self, work: Work, settings: cluster.Cluster, storage: Storage) -> None:
        self._work = work
        self._settings = settings
        self._storage = storage
        self._missing: deque[Shard] = deque()
        self._left: set[str] = set()
        self._mine: Node | None = None
        self._idle: list[Any] = []
        # What each worker was asked for: a shard, or None for its greeting.
        self._running: dict[Any, tuple[Shard | None, Any]] = {}
        self._tries: Counter[str] = Counter()
        self._failed: dict[str, str] = {}

    def __enter__(self) -> "_Run":
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers."""
        workers = [*self._idle, *(worker for _, worker in self._running.values())]
        if workers:
            import ray

            for worker in workers:
                ray.kill(worker)

    def begin(self, shards: Sequence[Shard]) -> None:
        """Let the cluster compute shards."""
        if not shards:
            return
        connect()
        self._mine = self._mine or describe_node()
        self._missing += shards
        self._left |= {shard.id for shard in shards}
        started = len(self._idle) + len(self._running)
        for _ in range(min(self._count_workers(), len(self._left)) - started):
            self._start()

    def read(self, shard: Shard, scratch: Path) -> np.ndarray | None:
        """Return the rows of a shard, as soon as it is finished; None if it is damaged."""
        while shard.id in self._left:
            if shard.id in self._failed and not any(asked for asked, _ in self._running.values()):
                self._raise_failed()
            self._step()
        return self._storage.read(shard, scratch)

    def _count_workers(self) -> int:
        """Return how many workers the cluster has processors for, 1 or more."""
        import ray

        cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        count = int(sum(of_node // self._settings.cpus_per_worker for of_node in cpus))
        if not count:
            raise UnfreezeError(
                f"no machine of the cluster has {self._settings.cpus_per_worker} processors: add one by `ray start "
                "--address`, or lower cluster.cpus_per_worker"
            )
        return count

    def _start(self) -> None:
        """Start a worker, as soon as the cluster has processors for it, and let it say what it computes with."""
        import ray

        cpus = self._settings.cpus_per_worker
        worker = ray.remote(num_cpus=cpus)(Worker).remote(cpus)
        self._running[worker.greet.remote()] = (None, worker)

    def _step(self) -> None:
        """Give work to idle workers, and take in what has ended."""
        import ray

        while self._idle and self._missing:
            worker, shard = self._idle.pop(), self._missing.popleft()
            reference = worker.compute.remote(self._work.name, self._work.load, self._storage.address, shard)
            self._running[reference] = (shard, worker)
        ended, _ = ray.wait(list(self._running), timeout=PATIENCE)
        if not ended:
            computing = sum(asked is not None for asked, _ in self._running.values())
            console.log.info(
                "%s: %d shards are left, %d workers compute, %d wait for processors",
                self._work.name, len(self._left), computing, len(self._running) - computing,
            )  # fmt: skip
        for reference in ended:
            self._take_in(reference, *self._running.pop(reference))

    def _take_in(self, reference: Any, asked: Shard | None, worker: Any) -> None:
        import ray

        try:
            answer = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, UnfreezeError) or asked is None:
                self._idle.append(worker)
                raise UnfreezeError(str(cause)) from error
            self._count_try(asked, _shorten(cause))
        except ray.exceptions.RayError as error:
            # The worker or its machine is gone.
            if asked is not None:
                self._count_try(asked, _shorten(error))
            self._start()
            return
        else:
            if asked is None:
                self._require_alike(answer)
            else:
                self._left.discard(asked.id)
        self._idle.append(worker)

    def _require_alike(self, theirs: Node) -> None:
        assert self._mine
        if differences := find_differences(self._mine, theirs):
            raise UnfreezeError(f"{theirs.name} would compute otherwise: {'; '.join(differences)}")

    def _count_try(self, shard: Shard, reason: str) -> None:
        """Try a shard again, unless it failed too often: then the others are finished first."""
        self._tries[shard.id] += 1
        rows = self._work.name_rows(shard.start, shard.stop)
        console.log.warning("%s: %s failed: %s", self._work.name, rows, reason)
        if self._tries[shard.id] < self._settings.tries:
            self._missing.append(shard)
        else:
            self._failed[shard.id] = f"{rows} ({reason})"

    def _raise_failed(self) -> None:
        raise UnfreezeError(
            f"{self._work.name}: failed on {self._settings.tries} workers: {'; '.join(self._failed.values())}. "
            "All other shards are kept"
        )


def _shorten(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
