"""Several processes for one search: KerasTuner's chief, and workers that ask it for trials."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from unfreeze.console import log
from unfreeze.errors import UnfreezeError

VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
# A chief trains the configured point first, so workers wait for it.
SECONDS_FOR_CHIEF = 600
# A worker that ends is started again; its trial is given to it once more.
STARTS = 3


@dataclass(frozen=True)
class Role:
    """What this process does in a search.

    Args:
        kind: `alone`, `chief` or `worker`.
        name: Its name among the processes; empty if alone.
        address: Where the chief answers; None if alone.
    """

    kind: Literal["alone", "chief", "worker"]
    name: str = ""
    address: tuple[str, int] | None = None


def role() -> Role:
    """Read from KerasTuner's three variables what this process does.

    Raises:
        UnfreezeError: Some of the variables are missing, or the port is no number.
    """
    values = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
    if not values:
        return Role("alone")
    missing = [name for name in VARIABLES if name not in values]
    if missing:
        raise UnfreezeError(
            f"{', '.join(values)} set and {', '.join(missing)} not: a search on several processes needs all three, "
            "a search on one none"
        )
    name, host, port = (values[variable] for variable in VARIABLES)
    if not port.isdigit() or not 1024 <= int(port) <= 65535:
        raise UnfreezeError(f"KERASTUNER_ORACLE_PORT is {port!r}: give a port number, 1024 to 65535")
    return Role("chief" if "chief" in name else "worker", name, (host, int(port)))


def require_free_port(chief: Role) -> None:
    """Find out whether a chief can answer at its address; a process that is alone needs none.

    Raises:
        UnfreezeError: The port is in use, or the address is not this machine's.
    """
    if chief.address is None:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(chief.address)
        except OSError as error:
            raise UnfreezeError(
                f"the chief cannot answer at {chief.address[0]}:{chief.address[1]} ({error.strerror}): set "
                "KERASTUNER_ORACLE_PORT to a free port and KERASTUNER_ORACLE_IP to an address of this machine"
            ) from error


def wait_for_chief(worker: Role, seconds: float = SECONDS_FOR_CHIEF) -> None:
    """Wait until a worker's chief answers.

    Raises:
        UnfreezeError: None did in time.
    """
    assert worker.address is not None
    address = worker.address
    log.info("%s waits for the chief at %s:%d", worker.name, *address)
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(address, timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise UnfreezeError(
                    f"no chief answers at {address[0]}:{address[1]} ({error}): start it first, with "
                    "KERASTUNER_TUNER_ID=chief and the same address"
                ) from error
        time.sleep(0.5)


@contextmanager
def chief_of(backbone: str, count: int) -> Iterator[None]:
    """Make this process the chief of so many workers on this machine, each with its share of the processors.

    A worker that ends before its time is started again.

    Args:
        backbone: Whose search it is.
        count: Number of workers.

    Raises:
        UnfreezeError: A worker ended too often.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    os.environ.update(shared, KERASTUNER_TUNER_ID="chief")
    team = _Team([_command(backbone, number, count) for number in range(count)], shared)
    with team:
        try:
            yield
        except KeyboardInterrupt:
            if team.problem:
                raise UnfreezeError(team.problem) from None
            raise


def _command(backbone: str, number: int, count: int) -> list[str]:
    processors = sorted(os.sched_getaffinity(0))
    # With fewer processors than workers all share them.
    share = processors[number::count] or processors
    program = (
        f"import os; os.sched_setaffinity(0, {share}); from unfreeze.cli import main; main(['search', {backbone!r}])"
    )
    return [sys.executable, "-c", program]


class _Team:
    """Workers, and a thread that looks after them."""

    def __init__(self, commands: list[list[str]], variables: dict[str, str]) -> None:
        self.problem = ""
        self._variables = variables
        self._ended = threading.Event()
        self._processes = {f"worker{number}": self._start(number, command) for number, command in enumerate(commands)}
        self._commands = dict(zip(self._processes, commands, strict=True))
        self._thread = threading.Thread(target=self._look_after, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for process in self._processes.values():
            if kind is not None:
                process.terminate()
            process.wait()

    def _start(self, number: int, command: list[str]) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, **self._variables, "KERASTUNER_TUNER_ID": f"worker{number}"}
        return subprocess.Popen(command, env=environment)

    def _look_after(self) -> None:
        starts = dict.fromkeys(self._processes, 1)
        while not self._ended.wait(0.5):
            for number, (name, process) in enumerate(self._processes.items()):
                if not process.poll():
                    continue
                if starts[name] == STARTS:
                    self.problem = (
                        f"{name} of the search ended {STARTS} times, at last with status {process.returncode}: its "
                        "lines above say why; the trials that are finished are kept, the search goes on from there"
                    )
                    # The main thread waits in KerasTuner's server, which asks for nothing else.
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                starts[name] += 1
                log.warning("%s ended with status %d and is started again", name, process.returncode)
                self._processes[name] = self._start(number, self._commands[name])
