"""A process beside the stage: what it runs, what it raises, and that it never stays behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import runs
from unfreeze.errors import UnfreezeError
from unfreeze.runtime.background import start_helper

PARENT = """
import os, signal, time
from unfreeze.runtime.background import start_helper

# A shell that runs tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

with start_helper() as process:
    print(process.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def fail() -> None:
    raise UnfreezeError("the split check failed")


def load_nothing() -> None:
    raise ImportError("no such library")


def test_functions_run_in_another_process() -> None:
    with start_helper() as process:
        other = process.submit(os.getpid).result()
    assert other != os.getpid()


def test_what_is_raised_there_is_raised_here() -> None:
    with start_helper() as process, pytest.raises(UnfreezeError, match="the split check failed"):
        process.submit(fail).result()


def test_a_library_that_cannot_be_loaded_stops_nothing_before_it_is_needed() -> None:
    with start_helper(load_nothing) as process:
        assert process.submit(len, "abc").result() == 3


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_it_does_not_outlive_its_parent(end: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(end)
        parent.wait(60)
    deadline = time.monotonic() + 60
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(child)
