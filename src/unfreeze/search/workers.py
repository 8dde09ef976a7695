"""Several processes for one search: KerasTuner's chief, and workers that ask it for trials.

Temporary: the supervisor here and the gRPC server in `tuner` are written by hand, and go when Ray runs the trials.
"""

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import Literal

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.background import end_with_parent, without_interrupts
from unfreeze.runtime.console import log

VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
# A chief trains the configured point first: workers wait for it and log that every minute.
SECONDS_FOR_CHIEF = 3600
SECONDS_BETWEEN_LINES = 60
# A worker that ends is started again and gets its trial again. The limit is above the number of times that one trial
# may end a process before it is left out, so that one such trial does not end the search.
STARTS = 5
# Seconds for a worker to clean up when the search is over; a late one still waits for its chief and is ended.
SECONDS_TO_END = 10


@dataclass(frozen=True)
class Role:
    """The part of this process in a search.

    Args:
        kind: `alone`, `chief` or `worker`.
        name: Its name among the processes; empty if alone.
        address: Where the chief answers; None if alone.
    """

    kind: Literal["alone", "chief", "worker"]
    name: str = ""
    address: tuple[str, int] | None = None


def read_role() -> Role:
    """Read the part of this process from KerasTuner's three environment variables.

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
    """Require that a chief can listen at its address; a process that is alone needs none.

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
    begun = said = time.monotonic()
    while True:
        try:
            socket.create_connection(address, timeout=5).close()
            return
        except OSError as error:
            now = time.monotonic()
            if now - begun > seconds:
                raise UnfreezeError(
                    f"no chief answers at {address[0]}:{address[1]} ({error}): start it first, with "
                    "KERASTUNER_TUNER_ID=chief and the same address"
                ) from error
            if now - said > SECONDS_BETWEEN_LINES:
                said = now
                log.info("still no chief at %s:%d (%s)", *address, error)
        time.sleep(0.5)


@contextmanager
def lead_workers(backbone: str, count: int) -> Iterator[None]:
    """Make this process the chief of several workers on this machine, each with its share of the processors.

    A worker that ends before its time is started again.

    Args:
        backbone: The backbone that is searched.
        count: Number of workers.

    Raises:
        UnfreezeError: A worker ended too often.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(KERASTUNER_TUNER_ID="chief", KERASTUNER_ORACLE_IP="127.0.0.1", KERASTUNER_ORACLE_PORT=str(port))
    processors = sorted(os.sched_getaffinity(0))
    # With fewer processors than workers all share them.
    team = _Team(backbone, [processors[number::count] or processors for number in range(count)])
    with team:
        try:
            yield
        except KeyboardInterrupt:
            if team.problem:
                raise UnfreezeError(team.problem) from None
            raise


def _work(backbone: str, name: str, processors: list[int]) -> None:
    """Run trials for the process that started this one, for as long as that one lives."""
    # SIGTERM exits regularly: activations are removed, and the trial does not count as the cause of the end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    end_with_parent()
    os.sched_setaffinity(0, processors)
    os.environ["KERASTUNER_TUNER_ID"] = name
    sys.argv = ["unfreeze", "search", backbone]
    runpy.run_module("unfreeze", run_name="__main__")


class _Team:
    """Worker processes, and a thread that starts those again that have ended."""

    def __init__(self, backbone: str, shares: list[list[int]]) -> None:
        self.problem = ""
        self._backbone = backbone
        self._shares = {f"worker{number}": share for number, share in enumerate(shares)}
        self._ended = threading.Event()
        self._processes = {name: self._start(name) for name in self._shares}
        self._thread = threading.Thread(target=self._look_after, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for process in self._processes.values():
            if kind is None:
                process.join(SECONDS_TO_END)
            process.terminate()
            process.join()

    def _start(self, name: str) -> SpawnProcess:
        process = multiprocessing.get_context("spawn").Process(
            target=_work, args=(self._backbone, name, self._shares[name])
        )
        with without_interrupts():
            process.start()
        return process

    def _look_after(self) -> None:
        starts = dict.fromkeys(self._processes, 1)
        while not self._ended.wait(0.5):
            for name, process in self._processes.items():
                if not process.exitcode:
                    continue
                if starts[name] == STARTS:
                    self.problem = (
                        f"{name} of the search ended {STARTS} times, at last with status {process.exitcode}: its "
                        "lines above say why; the trials that are finished are kept, the search goes on from there"
                    )
                    # The main thread waits in KerasTuner's server, which only a signal interrupts.
                    os.kill(os.getpid(), signal.SIGINT)
                    return
                starts[name] += 1
                log.warning("%s ended with status %d and is started again", name, process.exitcode)
                self._processes[name] = self._start(name)
