from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.ray_nodes import start_nodes


@pytest.fixture(scope="package")
def nodes() -> Iterator[Any]:
    """Run a cluster of two nodes; the tests that use it are of the group `ray`."""
    with start_nodes(2) as cluster:
        yield cluster
