from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="package")
def nodes(start_nodes: Callable[..., Any]) -> Iterator[Any]:
    """Run a cluster of two nodes; the tests that use it are of the group `ray`."""
    with start_nodes(2) as cluster:
        yield cluster
