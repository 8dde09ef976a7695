from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="package")
def _nodes(start_nodes: Callable[..., Any]) -> Iterator[Any]:
    with start_nodes(2) as cluster:
        yield cluster


@pytest.fixture
def nodes(_nodes: Any) -> Any:
    """Return a cluster of two nodes, whatever the test before left; the tests that use it are of the group `ray`."""
    _nodes.resize(2)
    return _nodes
