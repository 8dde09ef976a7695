"""Processes that end with their parent, and a helper process that loads slow libraries while a stage works."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker

from unfreeze.runtime import console

SECONDS_TO_END = 5


@contextmanager
def start_helper(*loads: Callable[[], None]) -> Iterator[Executor]:
    """Start a process that loads libraries while this one works, and runs the functions that need them.

    It ends with this process, however this one ends.

    Args:
        loads: Module-level functions that import libraries; the process runs them at once, in order.

    Yields:
        An executor; `submit(function, ...).result()` runs a module-level function there and raises its exception.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin) as process:
        # The process starts with the first call.
        with without_interrupts():
            process.submit(os.getpid)
        for load in loads:
            process.submit(load)
        try:
            yield process
        except KeyboardInterrupt:
            # Nobody waits for what is still being loaded or logged.
            for child in multiprocessing.active_children():
                child.terminate()
            raise


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Let processes that this thread starts in the block ignore interrupts from the terminal for all their life.

    An interrupt reaches all processes, also those that are still loading Python; the parent alone reacts to it.
    """
    # It unblocks interrupts when it is started first within the block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process when the one that started it through `multiprocessing` ends, for whatever reason.

    Sends itself SIGTERM, and exits after 5 s if it is still running.
    """
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _begin() -> None:
    console.configure_logging()
    end_with_parent()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os._exit(1)
