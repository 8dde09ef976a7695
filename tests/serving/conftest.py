from pathlib import Path

import pytest

from tests.serving.packed import pack_small


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed network with random weights; read only."""
    return pack_small(tmp_path_factory.mktemp("packed"))
