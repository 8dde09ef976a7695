"""What runs in the process of a worker."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from unfreeze.cluster.binding import claim_processors
from unfreeze.cluster.node import Node, describe_node, find_checkout
from unfreeze.runtime import processors


class Answerer:
    """Runs tasks in a process of its own, with processors of its own.

    Args:
        cpus: Processors that it may use; it computes with as many threads, also where fewer are free.
    """

    def __init__(self, cpus: int) -> None:
        # Plugins are found from the working folder, and Ray's is that of `ray start`.
        os.chdir(find_checkout())
        self._processors = claim_processors(cpus)
        processors.limit(cpus)
        self._entered = ExitStack()
        self._run: Callable[[Any], Any] | None = None

    def greet(self, describes: bool) -> Node | None:
        """Return what this machine computes with, if that is asked for."""
        return describe_node() if describes else None

    def run(self, load: Callable[[], AbstractContextManager[Callable[[Any], Any]]], task: Any) -> Any:
        """Run a task; what it needs stays loaded for the next one.

        Args:
            load: As in `Job`.
            task: The task.
        """
        if self._run is None:
            self._run = self._entered.enter_context(load())
        return self._run(task)
