"""Many machines: tasks are run by Ray's actors, and rows are read back from the storage that all machines see."""

import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.cluster.answerer import Answerer
from unfreeze.cluster.local import BLOCK
from unfreeze.cluster.node import Node, describe_node
from unfreeze.cluster.running import Run, open_run
from unfreeze.cluster.shards import Compute, Shard, Work, plan_shards
from unfreeze.cluster.storage import Storage
from unfreeze.cluster.tasks import Job, LostError, RunTasks, Worker
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.settings import cluster

ADDRESS = "RAY_ADDRESS"
# Seconds in which the head must take a connection.
SECONDS_TO_ANSWER = 10.0


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
        load = partial(_keep_shards, work.load, self._storage.address)
        job = Job(work.name, "shards", load, lambda shard: work.name_rows(shard.start, shard.stop))
        with (
            Run(job, RayPool(self._settings.cpus_per_worker), self._settings.tries) as run,
            tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch,
        ):
            run.begin([shard for shard in shards if not self._storage.holds(shard)])
            for shard in shards:
                run.finish(shard)
                while (rows := self._storage.read(shard, Path(scratch))) is None:
                    # It was finished, and is damaged.
                    run.begin([shard])
                    run.finish(shard)
                for first in range(max(done - shard.start, 0), len(rows), BLOCK):
                    yield rows[first : first + BLOCK]

    @property
    def threads(self) -> int:
        """Threads of each process that runs tasks."""
        return self._settings.cpus_per_worker

    def open_tasks(self, job: Job) -> AbstractContextManager[RunTasks]:
        """Yield what runs tasks at the same time, as `Cluster` says.

        Raises:
            UnfreezeError: No Ray answers, a machine would compute otherwise, or a task failed too often.
        """
        return open_run(job, RayPool(self._settings.cpus_per_worker), self._settings.tries)


@contextmanager
def _keep_shards(load: Callable[[], Compute], address: str) -> Iterator[Callable[[Shard], None]]:
    """Yield what computes a shard and keeps it; the compiled engine stays for the next one."""
    storage, compute = Storage(address), load()
    yield lambda shard: storage.write(shard, compute(shard.start, shard.stop))


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
            f"no Ray {ray.__version__} answers at {ADDRESS}={address} ({shorten(error, named=True)}): start it there "
            "by `.venv/bin/ray start --head`, with the same versions of Ray and Python"
        ) from error


def _knock(address: str) -> None:
    """Find out in seconds whether anything listens; Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()


class RayPool:
    """As many workers as the cluster has processors for.

    Args:
        cpus: Processors of each.
    """

    def __init__(self, cpus: int) -> None:
        self._cpus = cpus

    def count(self) -> int:
        """Return for how many workers there are processors, 1 or more."""
        connect()
        import ray

        cpus = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
        count = int(sum(of_node // self._cpus for of_node in cpus))
        if not count:
            raise UnfreezeError(
                f"no machine of the cluster has {self._cpus} processors: add one by `ray start --address`, or lower "
                "cluster.cpus_per_worker"
            )
        return count

    def describe(self) -> Node:
        """Return what this machine computes with."""
        return describe_node()

    def start(self) -> "Actor":
        """Start a worker, as soon as the cluster has processors for it."""
        return Actor(self._cpus)

    def wait(self, workers: Iterable[Worker], seconds: float) -> list[Worker]:
        """Return the workers that have answered or are lost."""
        import ray

        by_reference = {worker.reference: worker for worker in workers if isinstance(worker, Actor)}
        ended, _ = ray.wait(list(by_reference), timeout=seconds)
        return [by_reference[reference] for reference in ended]


class Actor:
    """A process on a machine of the cluster."""

    def __init__(self, cpus: int) -> None:
        import ray

        self._actor = ray.remote(num_cpus=cpus)(Answerer).remote(cpus)
        self.reference: Any = None

    def ask(self, question: str, *arguments: Any) -> None:
        """Begin to call a method of `Answerer` there."""
        self.reference = getattr(self._actor, question).remote(*arguments)

    def take(self) -> Any:
        """Return the answer, or raise what was raised, or `LostError`."""
        import ray

        try:
            return ray.get(self.reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayError as error:
            # The process or its machine is gone.
            raise LostError(shorten(error, named=True)) from error

    def kill(self) -> None:
        """End the process."""
        import ray

        ray.kill(self._actor)
