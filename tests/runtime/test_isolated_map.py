"""Crashes, hangs and memory hogs cost one item, and no process stays behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import count, islice

import pytest

from tests.conftest import children_of, runs
from unfreeze.runtime.isolated_map import CHUNK, CHUNKS_AHEAD, Failure, run_isolated

PARENT = """
import signal, time
from unfreeze.runtime.isolated_map import run_isolated

# A shell that runs tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
list(run_isolated(time.sleep, [60.0] * 40, seconds=100, gigabytes=1, processes=2))
"""
run = partial(run_isolated, seconds=60, gigabytes=1, processes=2)


def crash_at_some(number: int) -> int:
    if number % 50 == 7:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number % 50 == 8:
        os.abort()
    if number % 50 == 40:
        os._exit(0)
    return number


def hang_at_3(number: int) -> int:
    while number == 3:
        time.sleep(1)
    return number


def take_memory(size: int) -> int:
    return len(bytearray(size))


def sleep_less(number: int) -> int:
    time.sleep(0.1 / (1 + number % 5))
    return number


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def fail_at_30(number: int) -> int:
    if number == 30:
        raise ValueError("thirty")
    return number


def process_of(_: int) -> int:
    return os.getpid()


def test_a_crash_costs_one_item() -> None:
    results = list(run(crash_at_some, range(120)))
    reasons = {7: "ends its process by SIGSEGV", 8: "ends its process by SIGABRT", 40: "ends its process with code 0"}
    assert results == [Failure(reasons[n % 50]) if n % 50 in reasons else n for n in range(120)]


def test_a_hang_costs_one_item() -> None:
    """The item would never end by itself."""
    assert list(run(hang_at_3, range(40), seconds=3)) == [
        Failure("takes longer than 3 s") if n == 3 else n for n in range(40)
    ]


def test_too_much_memory_costs_one_item() -> None:
    sizes = [10, 3 * 10**8, 10**9, 20]
    assert list(run(take_memory, sizes, gigabytes=0.5)) == [
        10, 3 * 10**8, Failure("needs more than 0.5 GB of memory"), 20,
    ]  # fmt: skip


def test_results_keep_the_order_of_their_items() -> None:
    assert list(run(sleep_less, range(50))) == list(range(50))
    assert list(run(sleep_less, [])) == []


def test_slow_items_are_no_hang_together() -> None:
    """Sixteen of them are handed over at once and take 2 s together."""
    assert list(run(sleep, [0.125] * 20, seconds=1.5)) == [0.125] * 20


def test_time_that_the_caller_takes_is_not_counted() -> None:
    results = run(sleep_less, range(60), seconds=1.5)
    assert next(results) == 0
    time.sleep(2)
    assert list(results) == list(range(1, 60))


def test_what_the_function_raises_is_raised() -> None:
    with pytest.raises(ValueError, match="thirty") as caught:
        list(run(fail_at_30, range(100)))
    assert "fail_at_30" in caught.value.__notes__[0]


def test_items_are_taken_as_they_are_needed_and_processes_end_with_the_iterator() -> None:
    taken = count()
    results = run(process_of, taken)
    processes = {process for process in islice(results, 5 * CHUNK) if isinstance(process, int)}
    assert next(taken) <= 5 * CHUNK + 2 * CHUNKS_AHEAD * CHUNK
    assert all(runs(process) for process in processes)
    results.close()
    assert not any(runs(process) for process in processes)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_its_parent(end: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stderr=subprocess.PIPE) as parent:
        # Two workers, the server they are forked from, and multiprocessing's tracker.
        deadline = time.monotonic() + 120
        while len(descendants := _descendants(parent.pid)) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(descendants) == 4
        parent.send_signal(end)
        parent.wait(60)
    deadline = time.monotonic() + 60
    while any(map(runs, descendants)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(runs, descendants))


def _descendants(process: int) -> list[int]:
    return [found for child in children_of(process) for found in (child, *_descendants(child))]
