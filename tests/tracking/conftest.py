"""A server that is there, a port that is free, and copies of the finished study."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Checkout
from tests.serving.packed import pack_small
from tests.tracking.empty_store import put_empty_store
from tests.tracking.stores import free, serving
from unfreeze.paths import Paths


@pytest.fixture
def free_port() -> int:
    return free()


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[str]:
    with serving(tmp_path, free_port) as address:
        yield address


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed network with random weights; read only."""
    return pack_small(tmp_path_factory.mktemp("packed"))


@pytest.fixture
def copy_of(studied: Checkout, tmp_path: Path) -> Callable[[str], Paths]:
    """Copy the finished study, without what was logged of it, and name the folder."""

    def copied(name: str) -> Paths:
        shutil.copytree(studied.root, tmp_path / name, ignore=shutil.ignore_patterns("mlartifacts", "mlflow.db*"))
        put_empty_store(tmp_path / name / "mlflow.db")
        return Paths(tmp_path / name)

    return copied
