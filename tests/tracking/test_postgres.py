"""A ledger in PostgreSQL, reached directly and through a server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.stores import backbone_run, contents, free, names, serving
from tests.tracking.test_registry import contested
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.tracking.ledger import Ledger
from unfreeze.tracking.server import Server

# Debian's, the newest.
PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/lib/postgresql"))
PASSWORD = "a-password-of-the-database"

pytestmark = pytest.mark.skipif(not (PROGRAMS / "initdb").exists(), reason="PostgreSQL is not installed")


@pytest.fixture
def postgres(free_port: int) -> Iterator[str]:
    """Start a database of its own on loopback, and give its address with user and password."""
    # It refuses to run as root, and its own user may not enter pytest's folders.
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="unfreeze-postgres-") as folder:
        (Path(folder) / "password").write_text(PASSWORD)
        if user:
            shutil.chown(folder, **user)
            shutil.chown(f"{folder}/password", **user)

        def run(program: str, *arguments: str) -> None:
            command = [PROGRAMS / program, "-D", "db", *arguments]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60, **user)

        run("initdb", "-U", "ada", "-A", "scram-sha-256", "--pwfile", "password", "--no-sync")
        options = f"-p {free_port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-w", "-l", "log", "-o", options, "start")
        try:
            yield f"postgresql://ada:{PASSWORD}@127.0.0.1:{free_port}/postgres"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")


def test_a_database_keeps_runs_and_the_checkout_their_files(
    postgres: str, copy_of: Callable[[str], Paths], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = copy_of("direct")
    (paths.root / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres)
    Ledger(paths, "unfreeze").sync(["from_scratch"])
    server = Server(paths, "unfreeze")
    first = contents(server.uri)
    Ledger(paths, "unfreeze").sync(["from_scratch"])
    assert contents(server.uri) == first
    assert not (paths.root / "mlflow.db").exists()
    run = backbone_run(paths, "from_scratch")
    assert run.info.artifact_uri.startswith((paths.root / "mlartifacts").as_uri())
    assert run.data.tags["model_sha256"] == files.hash_file(paths.model("from_scratch"))
    stored = [path for path in (paths.root / "mlartifacts").rglob("*") if path.is_file()]
    assert stored
    assert not [path for path in stored if PASSWORD.encode() in path.read_bytes()]


def test_a_server_keeps_runs_in_a_database(
    postgres: str, copy_of: Callable[[str], Paths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = copy_of("served")
    with serving(tmp_path, free(), "--backend-store-uri", postgres.replace("://", "+psycopg2://")) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        Ledger(paths, "unfreeze").sync(["from_scratch"])
        assert names(address).count("from_scratch") == 1
        first = contents(address)
        Ledger(paths, "unfreeze").sync(["from_scratch"])
        assert contents(address) == first
    assert not (paths.root / "mlartifacts").exists()


def test_of_two_promotions_at_once_exactly_one_wins(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres)
    contested(tmp_path, postgres)
