"""A function over many items in separate processes: a crash, a hang or a lack of memory costs one item."""

import ctypes
import multiprocessing
import resource
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Generic, TypeVar

from unfreeze.runtime.background import end_with_parent, without_interrupts
from unfreeze.runtime.processors import count_processors

T = TypeVar("T")
R = TypeVar("R")

# Items sent at once; with one at a time a process would wait for this one in between.
CHUNK = 16
# Chunks per process that are begun but not yet yielded: others work on while one is slow, and memory is bounded.
CHUNKS_AHEAD = 4
BYTES_PER_GB = 10**9
# Parameters of glibc's mallopt(3) and their values, bytes; 32 MiB is the maximum of the second.
M_TRIM_THRESHOLD, MOST_KEPT = -1, 2**30
M_MMAP_THRESHOLD, LARGEST_KEPT = -3, 2**25


@dataclass(frozen=True)
class Failure:
    """Result of an item whose process did not return one.

    Args:
        reason: The cause, in one line.
    """

    reason: str


def run_isolated(
    function: Callable[[T], R], items: Iterable[T], *, seconds: float, gigabytes: float, processes: int | None = None
) -> Generator[R | Failure, None, None]:
    """Call a function on each item in other processes, where a crash, a hang or a lack of memory costs one item.

    A process sends each result at once, so the item that it worked on when it ended is the cause, and a new process
    goes on with the next item. All processes end with the iterator, and with this process, however it ends.

    Args:
        function: A module-level function, or a `functools.partial` of one.
        items: Any number of items that can be pickled; they are taken as they are needed.
        seconds: Time limit of an item, seconds.
        gigabytes: Memory that a process may use beyond what it has at its start, GB of 10^9 bytes.
        processes: Number of processes; one for each processor that this one may use by default.

    Yields:
        The function's result or a `Failure` for each item, in the items' order.

    Raises:
        Exception: The function's exception, with its traceback as a note; a MemoryError is a `Failure` instead.
        RuntimeError: A process cannot start.
    """
    processes = processes or count_processors()
    team = _Team(function, seconds, gigabytes)
    rest = iter(items)
    chunks = (_Chunk[T, R](part) for part in iter(lambda: list(islice(rest, CHUNK)), []))
    unyielded: deque[_Chunk[T, R]] = deque()
    try:
        while True:
            while unyielded and not unyielded[0].left:
                yield from unyielded.popleft().results
            fresh = list(islice(chunks, processes * CHUNKS_AHEAD - len(unyielded)))
            unyielded += fresh
            team.waiting += fresh
            if not unyielded:
                return
            team.work(min(processes, len(unyielded)))
    finally:
        team.end()


@dataclass
class _Chunk(Generic[T, R]):
    items: list[T]
    results: list[R | Failure] = field(default_factory=list)

    @property
    def left(self) -> list[T]:
        return self.items[len(self.results) :]


class _Worker(Generic[T, R]):
    """A process that works on one chunk at a time."""

    def __init__(
        self, context: ForkServerContext, function: Callable[[T], R], seconds: float, gigabytes: float
    ) -> None:
        self.chunk: _Chunk[T, R] | None = None
        self.lives = True
        self.deadline = 0.0
        self._seconds = seconds
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function, gigabytes), daemon=True)
        with without_interrupts():
            self._process.start()
        theirs.close()
        try:
            self.connection.recv()
        except EOFError:
            raise RuntimeError("a process cannot start; what it has written tells why") from None

    def begin(self, chunk: _Chunk[T, R]) -> None:
        self.chunk = chunk
        self.deadline = time.monotonic() + self._seconds
        # If the process has ended, `receive` notices.
        with suppress(OSError):
            self.connection.send(chunk.left)

    def receive(self) -> _Chunk[T, R] | None:
        """Receive the results that were sent; return the chunk if another process must go on with it."""
        assert self.chunk is not None
        chunk = self.chunk
        while chunk.left and self.connection.poll():
            try:
                raised, result = self.connection.recv()
            except (EOFError, OSError):
                self._process.join()
                return self._give_up(_describe_end(self._process.exitcode or 0))
            if raised:
                raise result
            chunk.results.append(result)
            self.deadline = time.monotonic() + self._seconds
        if not chunk.left:
            self.chunk = None
        elif time.monotonic() > self.deadline:
            return self._give_up(f"takes longer than {self._seconds:g} s")
        return None

    def _give_up(self, reason: str) -> _Chunk[T, R] | None:
        assert self.chunk is not None
        self.chunk.results.append(Failure(reason))
        self.end()
        return self.chunk if self.chunk.left else None

    def end(self) -> None:
        self.lives = False
        self._process.kill()
        self._process.join()
        self.connection.close()


class _Team(Generic[T, R]):
    """The processes, and the chunks that none of them has begun."""

    def __init__(self, function: Callable[[T], R], seconds: float, gigabytes: float) -> None:
        self.waiting: deque[_Chunk[T, R]] = deque()
        self._workers: list[_Worker[T, R]] = []
        # Forked off a server that has the function's module loaded, a process is replaced in milliseconds.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([getattr(function, "func", function).__module__])
        self._start = partial(_Worker[T, R], context, function, seconds, gigabytes)

    def work(self, processes: int) -> None:
        """Keep a number of processes busy; wait until one has sent a result, has ended or has used up its time."""
        self._workers = [worker for worker in self._workers if worker.lives]
        while len(self._workers) < processes:
            self._workers.append(self._start())
        for worker in self._workers:
            if worker.chunk is None and self.waiting:
                worker.begin(self.waiting.popleft())
        busy = [worker for worker in self._workers if worker.chunk is not None]
        seconds = min(worker.deadline for worker in busy) - time.monotonic()
        wait([worker.connection for worker in busy], max(seconds, 0))
        self.waiting.extendleft(chunk for worker in busy if (chunk := worker.receive()))

    def end(self) -> None:
        for worker in self._workers:
            worker.end()


def _serve(connection: Connection, function: Callable[[T], R], gigabytes: float) -> None:
    """Work on chunks until the parent ends; unpickling the function has loaded its libraries."""
    end_with_parent()
    _keep_freed_memory()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(gigabytes * BYTES_PER_GB)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    # When the parent has ended, nobody receives results.
    with suppress(EOFError, OSError):
        connection.send(None)
        while True:
            for item in connection.recv():
                connection.send(_try(function, item, gigabytes))


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next item instead of returning it to the system.

    The system zeroes each page that it hands out: a quarter of the time that measuring a photograph takes.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)


def _try(function: Callable[[T], R], item: T, gigabytes: float) -> tuple[bool, R | Failure | Exception]:
    """Return whether the function raised, and what it raised or returned."""
    try:
        return False, function(item)
    except MemoryError:
        return False, Failure(f"needs more than {gigabytes:g} GB of memory")
    except Exception as error:
        error.add_note(traceback.format_exc())
        return True, error


def _describe_end(code: int) -> str:
    return f"ends its process by {signal.Signals(-code).name}" if code < 0 else f"ends its process with code {code}"
