"""The `unfreeze` command: one subcommand a DVC stage, and those for people and for continuous integration."""

# Little is imported here, and all else inside `main`: an interrupt while libraries load ends in one line too.
import os
import re
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import argparse

INTERRUPTED = "error: interrupted; finished stages are kept, `dvc repro` goes on from there"
# What shells report of a program that SIGINT ended.
STATUS_INTERRUPTED = 130
# How soon an interrupt that a library swallowed is repeated, seconds.
SECONDS_TO_REPEAT = 0.05


def main(arguments: list[str] | None = None) -> None:
    """Run a command; what the user can correct ends it with status 1 and one line, an interrupt with status 130."""
    interrupts = _Interrupts()
    try:
        _run(arguments)
    except KeyboardInterrupt:
        _end_interrupted()
    except Exception:
        # Some libraries turn an interrupt while they load into an error of their own.
        if interrupts.came:
            _end_interrupted()
        raise
    finally:
        interrupts.forget()


class _Interrupts:
    """Remembers an interrupt from the terminal, so that none is lost in a library."""

    def __init__(self) -> None:
        self.came = False
        self._before = signal.signal(signal.SIGINT, self._interrupt)
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._repeat_unraisable

    def forget(self) -> None:
        """Leave handling of interrupts as it was before."""
        if not self.came:
            signal.signal(signal.SIGINT, self._before)
        sys.unraisablehook = self._hook

    def _interrupt(self, number: int, frame: FrameType | None) -> NoReturn:
        self.came = True
        raise KeyboardInterrupt

    def _repeat_unraisable(self, given: Any) -> None:
        """Interrupt again where Python would print the interrupt and go on, as in a callback of a C library."""
        if not isinstance(given.exc_value, KeyboardInterrupt):
            self._hook(given)
            return
        repeat = threading.Timer(SECONDS_TO_REPEAT, os.kill, (os.getpid(), signal.SIGINT))
        repeat.daemon = True
        repeat.start()


def _end_interrupted() -> NoReturn:
    # Whoever interrupts a second time does not want to wait for what is tidied up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stderr.write(f"{INTERRUPTED}\n")
    sys.exit(STATUS_INTERRUPTED)


def _run(arguments: list[str] | None) -> None:
    # Before TensorFlow is imported anywhere: it writes pages about what it found on the machine.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from unfreeze.runtime.imports import pause_collector

    with pause_collector():
        from unfreeze.errors import UnfreezeError
        from unfreeze.runtime import console
        from unfreeze.runtime.programs import spell_out_commands
        from unfreeze.runtime.redaction import redact
    console.configure_logging()
    try:
        with pause_collector():
            parser = _build_parser()
        options = parser.parse_args(arguments)
        options.run(options)
    except UnfreezeError as error:
        sys.exit(f"error: {spell_out_commands(redact(str(error)))}")
    except OSError as error:
        if (what := _explain(error)) is None:
            raise
        sys.exit(f"error: {what} and run {spell_out_commands('`dvc repro`')} again")


def _build_parser() -> "argparse.ArgumentParser":
    import argparse

    from unfreeze.cli import (
        ci,
        corrections,
        experiment,
        export,
        inspect,
        plan,
        predict,
        registry,
        repro,
        serve,
        stages,
        study,
        work,
    )  # fmt: skip

    parser = argparse.ArgumentParser(prog="unfreeze", description=__doc__)
    # As long as the longest stage's name, so that each has one line.
    commands = parser.add_subparsers(required=True, metavar="STAGE_OR_COMMAND")
    # In the order in which help lists them.
    for group in (
        stages, work, repro, experiment, inspect, plan, study, corrections, predict, serve, export, registry, ci,
    ):  # fmt: skip
        group.add(commands)
    return parser


def _explain(error: OSError) -> str | None:
    """Return what the user can do about it; None where it is a fault of the program."""
    import errno

    # HDF5 keeps the number in its message only.
    found = re.search(r"errno = (\d+)", str(error))
    number = int(found[1]) if found else error.errno
    name = f" {error.filename}" if error.filename else ""
    if number in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return f"no space left to write{name} ({error}): free some"
    if number in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"not permitted to read or write{name} ({error}): change its permissions or its owner"
    return None
