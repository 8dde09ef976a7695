"""Hands tasks to workers, and again to others where a worker is lost."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from unfreeze.cluster.node import Node, find_differences
from unfreeze.cluster.tasks import Job, LostError, Pool, RunTasks, Task, Worker
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.runtime import console

# Seconds without news until the user is told what is waited for.
PATIENCE = 30.0


class Run:
    """The tasks of one job that are not finished, and the workers that run them.

    Args:
        job: The job.
        pool: Where workers run.
        tries: Workers on which a task may fail.
    """

    def __init__(self, job: Job, pool: Pool, tries: int) -> None:
        self._job = job
        self._pool = pool
        self._most_tries = tries
        self._mine: Node | None = None
        self._waiting: deque[Task] = deque()
        self._left: set[str] = set()
        self._results: dict[str, Any] = {}
        self._idle: list[Worker] = []
        # What each worker was asked for: a task, or None for its greeting.
        self._asked: dict[Worker, Task | None] = {}
        self._tries: Counter[str] = Counter()
        self._lost_at_start = 0
        self._failed: dict[str, str] = {}

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers."""
        for worker in (*self._idle, *self._asked):
            worker.kill()

    def begin(self, tasks: Sequence[Task]) -> None:
        """Let workers run tasks."""
        self._waiting += tasks
        self._left |= {task.id for task in tasks}
        wanted = min(self._pool.count(), len(self._left)) if tasks else 0
        for _ in range(wanted - len(self._idle) - len(self._asked)):
            self._start()

    def finish(self, task: Task) -> Any:
        """Return a task's result, as soon as it is there; None if it was not begun here."""
        while task.id in self._left:
            if task.id in self._failed and not any(self._asked.values()):
                self._raise_failed()
            self._step()
        return self._results.pop(task.id, None)

    def _start(self) -> None:
        """Start a worker, and let it say what it computes with."""
        self._mine = self._mine or self._pool.describe()
        worker = self._pool.start()
        worker.ask("greet", self._mine is not None)
        self._asked[worker] = None

    def _step(self) -> None:
        """Give tasks to idle workers, and take in what has ended."""
        while self._idle and self._waiting:
            worker, task = self._idle.pop(), self._waiting.popleft()
            worker.ask("run", self._job.load, task)
            self._asked[worker] = task
        ended = self._pool.wait(self._asked, PATIENCE)
        if not ended:
            busy = sum(task is not None for task in self._asked.values())
            console.log.info(
                "%s: %d %s are left, %d workers compute, %d wait for processors",
                self._job.name, len(self._left), self._job.kind, busy, len(self._asked) - busy,
            )  # fmt: skip
        for worker in ended:
            self._take_in(worker, self._asked.pop(worker))

    def _take_in(self, worker: Worker, task: Task | None) -> None:
        try:
            answer = worker.take()
        except LostError as lost:
            worker.kill()
            self._replace(task, str(lost))
            return
        except Exception as error:
            self._idle.append(worker)
            if isinstance(error, UnfreezeError) or task is None:
                raise UnfreezeError(str(error)) from error
            self._count_try(task, shorten(error, named=True))
            return
        self._idle.append(worker)
        if task is None:
            self._require_alike(answer)
        else:
            self._results[task.id] = answer
            self._left.discard(task.id)

    def _replace(self, task: Task | None, reason: str) -> None:
        """Start a worker in the place of a lost one."""
        if task is None:
            self._lost_at_start += 1
            if self._lost_at_start >= self._most_tries:
                raise UnfreezeError(f"{self._job.name}: {self._lost_at_start} workers ended at their start: {reason}")
        else:
            self._count_try(task, reason, was_lost=True)
        self._start()

    def _require_alike(self, theirs: Node | None) -> None:
        if self._mine and theirs and (differences := find_differences(self._mine, theirs)):
            raise UnfreezeError(f"{theirs.name} would compute otherwise: {'; '.join(differences)}")

    def _count_try(self, task: Task, reason: str, *, was_lost: bool = False) -> None:
        """Try a task again, unless it failed too often: then the others are finished first."""
        self._tries[task.id] += 1
        described = self._job.describe(task)
        console.log.warning("%s: %s failed: %s", self._job.name, described, reason)
        if self._tries[task.id] < self._most_tries:
            self._waiting.append(task)
        elif was_lost and self._job.give_up is not None:
            self._results[task.id] = self._job.give_up(task, self._most_tries)
            self._left.discard(task.id)
        else:
            self._failed[task.id] = f"{described} ({reason})"

    def _raise_failed(self) -> None:
        raise UnfreezeError(
            f"{self._job.name}: failed on {self._most_tries} workers: {'; '.join(self._failed.values())}. "
            f"All other {self._job.kind} are kept"
        )


@contextmanager
def open_run(job: Job, pool: Pool, tries: int) -> Iterator[RunTasks]:
    """Yield what runs tasks at the same time; the workers stay for later tasks until the block ends.

    Args:
        job: What the tasks share.
        pool: Where workers run.
        tries: Workers on which a task may fail.
    """
    with Run(job, pool, tries) as run:

        def run_tasks(tasks: Sequence[Any]) -> Iterator[Any]:
            run.begin(tasks)
            return (run.finish(task) for task in tasks)

        yield run_tasks
