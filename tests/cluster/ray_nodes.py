"""A real cluster of Ray: several nodes on this machine."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.conftest import PROJECT

MISSING = "the extra `cluster` is not installed"
MEMORY = {"object_store_memory": 80 * 2**20}
# Without the processes that watch logs and add machines.
SMALL = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}


@contextmanager
def start_nodes(count: int, *, checkout: Path = PROJECT, at_once: bool = True) -> Iterator[Any]:
    """Start a head without processors and nodes of one processor each.

    Args:
        count: How many nodes.
        checkout: Whose code they run.
        at_once: Their processes have their libraries (`tests.warm`), or else start as Ray starts them.

    Yields:
        Ray's own `Cluster`, which can also `resize` itself, `list_workers` and `lose_node_of` a worker.
    """
    pytest.importorskip("ray", reason=MISSING)
    from ray.cluster_utils import Cluster

    class QuickCluster(Cluster):
        def add_node(self, *, at_once: bool = at_once, **options: Any) -> Any:
            # The program of what a node starts is that of its creator.
            with pytest.MonkeyPatch.context() as patch:
                if at_once:
                    patch.setattr(sys, "executable", str(warm.find_programs() / "python"))
                return super().add_node(**(MEMORY | options))

        def resize(self, count: int) -> None:
            while len(self.worker_nodes) > count:
                self.remove_node(next(iter(self.worker_nodes)))
            while len(self.worker_nodes) < count:
                self.add_node(num_cpus=1)
            # A worker may get a node that was lost and that Ray still counts.
            self.wait_for_nodes()

        def list_workers(self) -> dict[int, str]:
            # The node of each process.
            actors = self.global_state.actor_table(None).values()
            return {actor["Pid"]: actor["Address"]["NodeID"] for actor in actors if actor["State"] == "ALIVE"}

        def lose_node_of(self, worker: int) -> None:
            lost = self.list_workers()[worker]
            (node,) = [node for node in self.worker_nodes if node.node_id == lost]
            # What it has under way is not to be finished while its node goes.
            os.kill(worker, signal.SIGSTOP)
            self.remove_node(node, allow_graceful=False)
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        # Workers import what tests hand them.
        patch.setenv("PYTHONPATH", f"{checkout / 'src'}{os.pathsep}{PROJECT}")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # A node that was killed is counted out after five questions.
        patch.setenv("RAY_health_check_period_ms", "500")
        cluster = QuickCluster(head_node_args={"num_cpus": 0, **SMALL}, initialize_head=True)
        patch.setenv("RAY_ADDRESS", cluster.address)
        cluster.resize(count)
        try:
            yield cluster
        finally:
            import ray

            ray.shutdown()
            cluster.shutdown()
