"""Tasks that can run at the same time, on this machine or on others."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from unfreeze.cluster.node import Node


class Task(Protocol):
    """A part of a job; it is sent to the process that runs it, and so is its result: both are small."""

    @property
    def id(self) -> str:
        """Names it among the tasks of its job."""


@dataclass(frozen=True)
class Job:
    """Tasks that share what a process loads before the first of them.

    Args:
        name: The stage, with its backbone if it has one: `search@xception`.
        kind: What its tasks are, for people: `trials`.
        load: Returns what runs a task, to be entered in the process that runs tasks; a module-level function or a
            partial of one.
        describe: Says for people which task it is.
        give_up: Gives the result of a task on whose processes all tries were lost, from the task and the number of
            tries; without it the job fails.
    """

    name: str
    kind: str
    load: Callable[[], AbstractContextManager[Callable[[Any], Any]]]
    describe: Callable[[Any], str]
    give_up: Callable[[Any, int], Any] | None = None


# Runs tasks at the same time, and yields their results in the order of the tasks.
RunTasks = Callable[[Sequence[Any]], Iterator[Any]]


class Worker(Protocol):
    """A process that answers one question at a time."""

    def ask(self, question: str, *arguments: Any) -> None:
        """Begin to call a method of `Answerer` there."""

    def take(self) -> Any:
        """Return the answer.

        Raises:
            LostError: The process has ended, or its machine is gone.
            Exception: What the method raised.
        """

    def kill(self) -> None:
        """End the process."""


class Pool(Protocol):
    """Where workers run."""

    def count(self) -> int:
        """Return for how many workers there is room, 1 or more."""

    def describe(self) -> Node | None:
        """Return what workers have to compute with; None where they are processes of this machine."""

    def start(self) -> Worker:
        """Start a worker, as soon as there is room for it."""

    def wait(self, workers: Iterable[Worker], seconds: float) -> list[Worker]:
        """Return those of some workers that have answered or are lost; none if the time is over."""


class LostError(Exception):
    """A worker has ended before it answered; the text says how."""
