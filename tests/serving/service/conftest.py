from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.service.running import Running, run_service


@pytest.fixture(scope="module")
def running(packed: Path) -> Iterator[Running]:
    """A service of a small network; tests only ask it."""
    with run_service(packed) as one:
        yield one
