"""Models for the registry that are no networks: literal bytes, logged as a study's are."""

import os
import signal
from pathlib import Path
from typing import Any

from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.tracking.registry import Registry, Version
from unfreeze.tracking.server import Server

MODEL = "unfreeze"


def registry(root: Path) -> Registry:
    """Return the registry of a checkout's store."""
    return Registry(Server(Paths(root), "unfreeze"), MODEL)


def register(where: Registry, content: str, data: str = "d1") -> Version:
    """Log a model of some bytes and register it, as promotion does with a backbone's."""
    server, scratch = where.server, where.server.paths.root / "scratch"
    with files.scratch(scratch) as folder:
        (folder / "data").mkdir()
        (folder / "data/model.keras").write_text(content)
        sha256 = files.hash_file(folder / "data/model.keras")
        run = server.client.create_run(server.experiment_id).info.run_id
        logged = server.client.create_logged_model(server.experiment_id, "made", run)
        server.client.log_model_artifacts(logged.model_id, str(folder))
        server.client.finalize_logged_model(logged.model_id, "READY")
    return where.register(run, logged.model_id, {"model_sha256": sha256, "data_sha256": data, "backbone": content})


class Killing:
    """MLflow's client that ends its process, as `kill -9` does, before a call of some number."""

    def __init__(self, client: Any, calls: int) -> None:
        self._client = client
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls -= 1
            if self._calls < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return getattr(self._client, name)(*args, **kwargs)

        return call


def act(root: Path, action: str, calls: int) -> None:
    """Do something with the registry in a process that is killed before a call."""
    # Such processes have the environment that the first of them was made in.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    where = registry(root)
    _ = where.server.experiment_id
    where.server.__dict__["client"] = Killing(where.server.client, calls)
    if action == "register":
        register(where, "first")
    elif action == "promote":
        where.promote(2, expected=1, reason="better")
    else:
        where.rollback("it fails on snow")


def contest(root: Path, address: str, place: int, rounds: int, barrier: Any, results: Any) -> None:
    """Promote one of two versions in each round, at the moment at which another process promotes the other."""
    # The process that starts this one has the environment of its own start.
    os.environ["MLFLOW_TRACKING_URI"] = address
    where = registry(root)
    for _ in range(rounds):
        champion = where.find_champion()
        assert champion is not None
        barrier.wait(60)
        mine = [number for number in (1, 2, 3) if number != champion.number][place]
        try:
            where.promote(mine, expected=champion.number, reason=f"process {place}")
            results.put((mine, "won"))
        except Exception as error:
            results.put((mine, str(error)))
        barrier.wait(60)
