"""A finished small study with a first champion in a store of its own, restored for each test."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Checkout
from tests.tracking.empty_store import put_empty_store
from unfreeze.paths import Paths
from unfreeze.records.judgement_record import Promotion
from unfreeze.release import promotion
from unfreeze.settings.params import Params, load
from unfreeze.tracking.registry import Registry
from unfreeze.tracking.server import Server


@dataclass(frozen=True)
class Released:
    """A checkout, and what promotion needs of it.

    Args:
        paths: Its files.
        params: Its parameters.
    """

    paths: Paths
    params: Params

    @property
    def registry(self) -> Registry:
        """The registry as any process sees it."""
        return Registry(Server(self.paths, self.params.tracking.experiment), self.params.promote.model)

    @property
    def champion(self) -> int | None:
        """The version that a service would load."""
        found = self.registry.find_champion()
        return found.number if found else None

    def runs(self, kind: str) -> list[Any]:
        """Return the runs of a kind."""
        server = self.registry.server
        return list(server.client.search_runs([server.experiment_id], f"tags.`unfreeze.kind` = '{kind}'"))

    def promote(self, *args: Any, **kwargs: Any) -> Promotion:
        """Run `unfreeze promote`."""
        return promotion.promote(self.params, self.paths, *args, **kwargs)


def copied(studied: Checkout, target: Path) -> Released:
    """Copy a finished study without what was logged of it."""
    shutil.copytree(studied.root, target, symlinks=True, ignore=shutil.ignore_patterns("mlartifacts", "mlflow.db*"))
    put_empty_store(target / "mlflow.db")
    return Released(Paths(target), load(target / "params.yaml"))


@pytest.fixture(scope="session")
def first(studied: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return a checkout whose champion names one class for all images, and whose challenger was judged."""
    made = copied(studied, tmp_path_factory.mktemp("released") / "checkout")
    made.promote("mobilenetv2", force="first champion")
    # Scored once: tests find the verdict in the store.
    promotion.judge(made.params, made.paths)
    return made


@pytest.fixture
def released(first: Released) -> Iterator[Released]:
    """Give that checkout, and have its store, files and commit back as they were."""
    database = first.paths.mlflow_database
    kept = database.with_name("kept.db")
    shutil.copy(database, kept)
    yield first
    shutil.copy(kept, database)
