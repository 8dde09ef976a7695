"""Processes that end with the one that started them, and one beside the stage for libraries that load slowly."""

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
    """Load libraries in a process of its own while the stage works, and run there what needs them.

    The process does not outlive this one, however this one ends.

    Args:
        loads: Functions of modules that import what is needed later; the process runs them at once, in order.

    Yields:
        An executor; `submit(function, ...).result()` runs a module's function there and raises what it raises.
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

    An interrupt reaches all processes, also those that are still loading Python: the parent says what it means.
    """
    # It unblocks interrupts when it is started first within the block.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """Let this process end when the one that started it through `multiprocessing` does, however that happens.

    It is told to as by `kill`; if it has not ended soon after, it ends at once.
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
