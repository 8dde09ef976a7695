"""Stores that cannot be used are told of in one line with the remedy; users and passwords work."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from tests.tracking.stores import Captured, answering, free, names, serving
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime.redaction import redact
from unfreeze.tracking.ledger import Ledger
from unfreeze.tracking.server import Server, describe_error

ADMIN = "a-password-of-the-administrator"
READER = "a-password-of-one-who-reads"


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what an address left in the environment."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_server_out_of_reach(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:{READER}@127.0.0.1:{free_port}")
    with pytest.raises(UnfreezeError) as told:
        Server(Paths(tmp_path), "unfreeze").require()
    (line,) = str(told.value).splitlines()
    assert line.startswith(f"MLflow at http://127.0.0.1:{free_port} failed")
    assert line.endswith("start it, or set MLFLOW_TRACKING_URI to one that answers")
    assert READER not in line


@pytest.mark.parametrize(("answer", "told"), [("2.9.2", "is MLflow 2.9.2"), ("hello", "does not tell")])
def test_a_server_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, told: str) -> None:
    with answering(200, text=answer) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(UnfreezeError, match=f"{address} {told}.* 3.0 or later is needed: upgrade that server"):
            Server(Paths(tmp_path), "unfreeze").require()


def test_a_database_that_does_not_answer_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0

    def hang_up() -> None:
        nonlocal tried
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                # Before the other side can know that the connection is closed.
                tried += 1
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        Thread(target=hang_up, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://ada:{READER}@127.0.0.1:{port}/runs")
        with pytest.raises(UnfreezeError) as told:
            Server(Paths(tmp_path), "unfreeze").require()
    assert tried == 1
    assert f"MLflow at postgresql+psycopg2://127.0.0.1:{port}/runs failed" in str(told.value)
    assert READER not in str(told.value)


def test_a_stage_waits_for_slow_answers_only_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, seconds=0.3) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        client = Server(Paths(tmp_path), "unfreeze", patience=0.5).client
        for _ in range(2):
            client.search_experiments()
        with pytest.raises(TimeoutError, match="too slow"):
            client.search_experiments()


def test_an_empty_store_is_whole_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db.partial-1").write_bytes(b"of a process that was killed")
    server = Server(Paths(tmp_path), "unfreeze")
    assert server.experiment_id == "1"
    assert (tmp_path / "mlflow.db").exists()


@dataclass
class Guarded:
    """A server with users and passwords, and its folder."""

    address: str
    folder: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "auth.ini").write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/users.db\nadmin_username = admin\nadmin_password = {ADMIN}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    with serving(
        folder, free(), "--app-name", "basic-auth",
        MLFLOW_AUTH_CONFIG_PATH=str(folder / "auth.ini"), MLFLOW_FLASK_SERVER_SECRET_KEY="of no use elsewhere",
    ) as address:  # fmt: skip
        made = requests.post(
            f"{address}/api/2.0/mlflow/users/create",
            json={"username": "reader", "password": READER},
            auth=("admin", ADMIN),
            timeout=20,
        )
        assert made.status_code == 200, made.text
        yield Guarded(address, folder)


def test_users_and_passwords(
    guarded: Guarded,
    copy_of: Callable[[str], Paths],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    paths = copy_of("guarded")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", guarded.address)
    server = Server(paths, "unfreeze")
    with pytest.raises(UnfreezeError, match="does not know this user or password; set MLFLOW_TRACKING_USERNAME") as e:
        server.require()
    # The command line takes what follows `password:` for a secret.
    assert redact(str(e.value)) == str(e.value)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-as-can-be")
    with pytest.raises(UnfreezeError, match="does not know this user or password"):
        Server(paths, "unfreeze").require()
    with Captured() as lines:
        Ledger(paths, "unfreeze").log_evaluation("from_scratch")
    assert lines[0].startswith("not logged in MLflow: evaluation from_scratch")

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)
    Ledger(paths, "unfreeze").sync(["from_scratch"])
    assert names(guarded.address).count("from_scratch") == 1

    monkeypatch.setenv("MLFLOW_TRACKING_URI", guarded.address.replace("//", f"//reader:{READER}@"))
    ledger = Ledger(paths, "unfreeze")
    ledger.server.require()
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "reader"
    with Captured() as lines:
        paths.params.write_text(paths.params.read_text() + "\n")
        ledger.log_study(["from_scratch"])
    assert lines[0].startswith("not logged in MLflow: study")
    with pytest.raises(UnfreezeError, match="does not let reader do that .*: ask its administrator"):
        ledger.sync(["from_scratch"])

    shown = capfd.readouterr()
    written = [path for path in (guarded.folder / "artifacts").rglob("*") if path.is_file()]
    kept = [*written, guarded.folder / "server.db", guarded.folder / "server.log"]
    for secret in (ADMIN, READER, "wrong-as-can-be"):
        assert secret not in shown.out + shown.err + "".join(lines)
        assert not [path for path in kept if secret.encode() in path.read_bytes()]


def test_an_error_of_the_database_is_told_without_the_statement_and_its_values(tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path}/x.db").connect() as connection, pytest.raises(SQLAlchemyError) as error:
        connection.execute(text("SELECT * FROM runs WHERE name = :name"), {"name": READER})
    assert describe_error(error.value) == "(sqlite3.OperationalError) no such table: runs"


def test_a_registry_out_of_reach_is_told_in_the_same_words_whatever_broke_the_connection() -> None:
    lost = "HTTPConnectionPool(host='127.0.0.1', port=5000): Max retries exceeded with url: /api/2.0/mlflow/runs/get"
    causes = ("ProtocolError('Connection aborted.')", 'NewConnectionError("[Errno 111] Connection refused")')
    assert {describe_error(ConnectionError(f"{lost} (Caused by {cause})")) for cause in causes} == {lost}
