"""A real cluster of Ray: several nodes on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import PROJECT

MISSING = "the extra `cluster` is not installed"


@contextmanager
def start_nodes(count: int) -> Iterator[Any]:
    """Start a head without processors and nodes of one processor each; yields Ray's own `Cluster`."""
    pytest.importorskip("ray", reason=MISSING)
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # Workers import what tests hand them.
        patch.setenv("PYTHONPATH", f"{PROJECT / 'src'}{os.pathsep}{PROJECT}")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        memory = {"object_store_memory": 80 * 2**20}
        cluster = Cluster(head_node_args={"num_cpus": 0, "include_dashboard": False, **memory}, initialize_head=True)
        patch.setenv("RAY_ADDRESS", cluster.address)
        for _ in range(count):
            cluster.add_node(num_cpus=1, **memory)
        try:
            yield cluster
        finally:
            import ray

            ray.shutdown()
            cluster.shutdown()
