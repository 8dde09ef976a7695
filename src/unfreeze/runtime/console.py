"""Output for people while a stage runs: one logger, and progress with the time left."""

import importlib
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from unfreeze.runtime import programs, redaction
from unfreeze.runtime.imports import pause_collector

log = logging.getLogger("unfreeze")

# Without a terminal a line now and then shows that work goes on.
SECONDS_BETWEEN_LINES = 10.0

# From so many seconds on what is left is told in minutes, and from so many on in hours.
MINUTES_FROM = 90
HOURS_FROM = 90 * 60

T = TypeVar("T")
_console = Console(stderr=True)


@dataclass
class _Study:
    """What is left of the study that this process runs a stage of.

    Args:
        ends: When this stage is expected to end, on the clock of `time.monotonic`.
        after: Seconds of the stages after it; None if nobody has planned the study.
    """

    ends: float = 0.0
    after: float | None = None


_study = _Study()


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
    handler.addFilter(_prepare_record)
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    # TensorFlow warns of several models in one process, which a search needs.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # Matplotlib warns where the home cannot be written, and takes a temporary folder.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _prepare_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = programs.spell_out_commands(redaction.redact(record.getMessage())), ()
    return True


def count_down(own: float, after: float) -> None:
    """Let each progress bar also show what is left of the whole study.

    Args:
        own: Seconds that this stage is expected to take from now on.
        after: Seconds of the stages after it.
    """
    _study.ends, _study.after = time.monotonic() + own, after


def describe_study(left: float) -> str:
    """Return what is left of the whole study, for the end of a line; nothing if nobody has planned it.

    Args:
        left: Seconds that the work at hand still takes by its own pace.
    """
    if _study.after is None:
        return ""
    return f"study: about {describe_seconds(_study.after + max(_study.ends - time.monotonic(), left, 0.0))} left"


def describe_seconds(seconds: float) -> str:
    """Return a time for people.

    >>> describe_seconds(40), describe_seconds(130), describe_seconds(3 * 3600)
    ('40 s', '2 min', '3.0 h')
    """
    if seconds < MINUTES_FROM:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < HOURS_FROM else f"{seconds / 3600:.1f} h"


def import_tensorflow() -> None:
    """Import TensorFlow without the two notices on the processor that no log level suppresses."""
    _import_silently("tensorflow")


def import_keras() -> None:
    """Import Keras with whatever backend this process has chosen, without that one's notices."""
    _import_silently("keras")


def _import_silently(name: str) -> None:
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nothing, pause_collector():
            os.dup2(nothing.fileno(), 2)
            importlib.import_module(name)
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Advance]:
    """Show a bar with the time left on a terminal, and plain lines where there is none.

    Args:
        description: The work, in a few words.
        total: Number of steps; None if nobody knows, and then no time left is shown.

    Yields:
        A function that takes the number of steps just done.
    """
    with _show_bar(description, total) if _console.is_terminal else _log_lines(description, total) as advance:
        yield advance


class _StudyColumn(ProgressColumn):
    """What is left of the whole study."""

    def render(self, task: Task) -> Text:
        """Return the text of a bar."""
        return Text(describe_study(task.time_remaining or 0.0))


@contextmanager
def _show_bar(description: str, total: int | None) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        _StudyColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=_console) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(steps: int = 1, *, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _log_lines(description: str, total: int | None) -> Iterator[Advance]:
    begun = last = time.monotonic()
    done = 0
    # When the first steps were done, and how many: before them processes start, which says nothing of the rest.
    first: tuple[float, int] | None = None

    def advance(steps: int = 1, *, note: str = "") -> None:
        nonlocal done, last, first
        done += steps
        now = time.monotonic()
        first = first or (now, done)
        if now - last < SECONDS_BETWEEN_LINES and (total is None or done < total):
            return
        last = now
        if total is None:
            log.info("%s: %d, %.0f s gone%s", description, done, now - begun, f", {note}" if note else "")
            return
        line = f"{description}: {done} of {total}, {now - begun:.0f} s gone"
        if done > first[1] or done >= total:
            left = (now - first[0]) / max(done - first[1], 1) * (total - done)
            line += f", {left:.0f} s left"
            note = ", ".join(part for part in (note, describe_study(left)) if part)
        log.info("%s", f"{line}, {note}" if note else line)

    yield advance


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield the items and show progress: one step an item."""
    with progress(description, total) as advance:
        for item in items:
            yield item
            advance()
