"""Output for people while a stage runs: one logger, and progress with the time left."""

import importlib
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from unfreeze.runtime import redaction
from unfreeze.runtime.imports import pause_collector

log = logging.getLogger("unfreeze")

# Without a terminal a line now and then shows that work goes on.
SECONDS_BETWEEN_LINES = 10.0

T = TypeVar("T")
_console = Console(stderr=True)


class Advance(Protocol):
    """Reports progress: the number of steps just done, and a note for the end of the line."""

    def __call__(self, steps: int = 1, *, note: str = "") -> None:
        """Report so many steps more."""


def configure_logging() -> None:
    """Send the project's log to stderr without secrets, in colour on a terminal and as plain lines elsewhere."""
    handler: logging.Handler
    if _console.is_terminal:
        handler = RichHandler(console=_console, show_path=False, show_time=False, markup=False)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(redaction.redact_record)
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    # TensorFlow warns of several models in one process, which a search needs.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Matplotlib warns where the home cannot be written, and takes a temporary folder.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def import_tensorflow() -> None:
    """Import TensorFlow without the two notices on the processor that no log level suppresses."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nothing, pause_collector():
            os.dup2(nothing.fileno(), 2)
            importlib.import_module("tensorflow")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """Show a bar with the time left on a terminal, and plain lines where there is none.

    Args:
        description: The work, in a few words.
        total: Number of steps.

    Yields:
        A function that takes the number of steps just done.
    """
    with _show_bar(description, total) if _console.is_terminal else _log_lines(description, total) as advance:
        yield advance


@contextmanager
def _show_bar(description: str, total: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(steps: int = 1, *, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _log_lines(description: str, total: int) -> Iterator[Advance]:
    begun = last = time.monotonic()
    done = 0

    def advance(steps: int = 1, *, note: str = "") -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES and done < total:
            return
        last = now
        left = (now - begun) / max(done, 1) * (total - done)
        log.info(
            "%s: %d of %d, %.0f s gone, %.0f s left%s",
            description, done, total, now - begun, left, f", {note}" if note else "",
        )  # fmt: skip

    yield advance


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield the items and show progress: one step an item."""
    with progress(description, total) as advance:
        for item in items:
            yield item
            advance()
