"""What the tests of sources share: a server, a store in memory, and downloads that do not wait for anything."""

from collections.abc import Iterator

import fsspec
import pytest

from tests.sources.http_server import Server, running
from unfreeze.sources import fetch, web


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield filesystem
    filesystem.store.clear()


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(web, "STALL", 0.3)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
