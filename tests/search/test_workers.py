import socket

import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.search import workers
from unfreeze.search.workers import Role

IP, PORT, NAME = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Role("alone")),
        ({NAME: "chief", IP: "10.0.0.1", PORT: "8000"}, Role("chief", "chief", ("10.0.0.1", 8000))),
        ({NAME: "gpu1", IP: "10.0.0.1", PORT: "8000"}, Role("worker", "gpu1", ("10.0.0.1", 8000))),
    ],
)
def test_the_three_variables_say_what_a_process_does(
    variables: dict[str, str], expected: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert workers.read_role() == expected


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({NAME: "chief", IP: "10.0.0.1"}, f"{NAME}, {IP} set and {PORT} not"),
        ({NAME: "chief", IP: "10.0.0.1", PORT: "http"}, f"{PORT} is 'http': give a port number"),
        ({NAME: "chief", IP: "10.0.0.1", PORT: "99999"}, f"{PORT} is '99999': give a port number, 1024 to 65535"),
    ],
)
def test_variables_that_do_not_fit_are_named(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UnfreezeError, match=message):
        workers.read_role()


def test_a_port_in_use_is_named_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        chief = Role("chief", "chief", taken.getsockname())
        with pytest.raises(UnfreezeError, match=f"set {PORT} to a free port"):
            workers.require_free_port(chief)
    workers.require_free_port(chief)


def test_a_chief_that_cannot_be_reached_is_named_with_the_remedy() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    with pytest.raises(UnfreezeError, match=rf"no chief answers at 127\.0\.0\.1:{address[1]} .* start it first"):
        workers.wait_for_chief(Role("worker", "worker0", address), seconds=0)
