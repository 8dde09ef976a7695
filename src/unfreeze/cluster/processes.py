"""Workers that are processes of this machine."""

import multiprocessing
import signal
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from unfreeze.cluster.answerer import Answerer
from unfreeze.cluster.tasks import LostError, Worker
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.runtime import console
from unfreeze.runtime.background import end_with_parent, without_interrupts
from unfreeze.runtime.processors import count_processors


class Processes:
    """As many workers as this machine has processors for.

    Args:
        cpus: Processors of each.
    """

    def __init__(self, cpus: int) -> None:
        self._cpus = cpus

    def count(self) -> int:
        """Return for how many workers there are processors, 1 or more."""
        return max(count_processors() // self._cpus, 1)

    def describe(self) -> None:
        """Compare nothing: workers run here."""

    def start(self) -> "Process":
        """Start a worker."""
        return Process(self._cpus)

    def wait(self, workers: Iterable[Worker], seconds: float) -> list[Worker]:
        """Return the workers that have answered or ended."""
        by_connection = {worker.connection: worker for worker in workers if isinstance(worker, Process)}
        return [by_connection[ready] for ready in wait(list(by_connection), seconds)]  # type: ignore[index]


class Process:
    """A process that ends with this one."""

    def __init__(self, cpus: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, cpus), daemon=True)
        with without_interrupts():
            self._process.start()
        theirs.close()

    def ask(self, question: str, *arguments: Any) -> None:
        """Begin to call a method of `Answerer` there."""
        # If the process has ended, `take` notices.
        with suppress(OSError):
            self.connection.send((question, arguments))

    def take(self) -> Any:
        """Return the answer, or raise what was raised, or `LostError`."""
        try:
            raised, answer = self.connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise LostError(_describe_end(self._process.exitcode or 0)) from None
        if raised:
            raise answer
        return answer

    def kill(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, cpus: int) -> None:
    """Answer until the parent ends."""
    console.configure_logging()
    end_with_parent()
    answerer = Answerer(cpus)
    with suppress(EOFError, OSError):
        while True:
            question, arguments = connection.recv()
            try:
                answer = (False, getattr(answerer, question)(*arguments))
            except Exception as error:
                # Not every exception can be sent.
                own = isinstance(error, UnfreezeError)
                answer = (True, error if own else RuntimeError(shorten(error, named=True)))
            connection.send(answer)


def _describe_end(code: int) -> str:
    return f"its process ended by {signal.Signals(-code).name}" if code < 0 else f"its process ended with code {code}"
