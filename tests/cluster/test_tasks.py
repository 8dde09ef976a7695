"""Tasks in processes of this machine, which die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT, children_of, runs, wait_until_ended
from unfreeze.cluster.local import Local
from unfreeze.cluster.storage import Storage
from unfreeze.cluster.tasks import Job
from unfreeze.errors import UnfreezeError
from unfreeze.settings.cluster import Cluster

pytestmark = pytest.mark.usefixtures("real_processes")

SETTINGS = Cluster(engine="local", storage=None, rows_per_shard=16, cpus_per_worker=1, tries=2, max_file_gb=1)


@dataclass(frozen=True)
class Square:
    """A number to square; the process dies in its first so many tries."""

    number: int
    deaths: int = 0

    @property
    def id(self) -> str:
        return str(self.number)


@contextmanager
def load(folder: Path) -> Iterator[Callable[[Square], int]]:
    (folder / f"loaded by {os.getpid()}").touch()

    def run(task: Square) -> int:
        begun = folder / f"begun {task.number}"
        with begun.open("a") as stream:
            stream.write("x")
        if len(begun.read_text()) <= task.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        if task.number == 13:
            raise UnfreezeError("13 is no number to square")
        time.sleep(0.1 if task.number % 2 else 0)
        return task.number**2

    yield run


def describe(task: Square) -> str:
    return f"square {task.number}"


def job(folder: Path, **more: Any) -> Job:
    return Job("squares", "squares", partial(load, folder), describe, **more)


def open_local(folder: Path) -> Local:
    return Local(SETTINGS, Storage(str(folder)))


def test_results_come_in_the_order_of_tasks_and_processes_stay(tmp_path: Path) -> None:
    with open_local(tmp_path).open_tasks(job(tmp_path)) as run:
        assert list(run([Square(number) for number in (5, 2, 3, 4)])) == [25, 4, 9, 16]
        assert list(run([Square(6)])) == [36]
        assert list(run([])) == []
        started = {int(path.name.split()[-1]) for path in tmp_path.glob("loaded by *")}
        assert 1 <= len(started) <= len(os.sched_getaffinity(0))
        assert os.getpid() not in started
    assert not any(map(runs, started))


def test_a_task_whose_process_dies_is_tried_again(tmp_path: Path) -> None:
    with open_local(tmp_path).open_tasks(job(tmp_path)) as run:
        assert list(run([Square(2, deaths=1), Square(3)])) == [4, 9]


def test_a_task_in_which_processes_die_again_and_again_is_given_up(tmp_path: Path) -> None:
    given_up = job(tmp_path, give_up=lambda task, tries: (task.number, tries))
    with open_local(tmp_path).open_tasks(given_up) as run:
        assert list(run([Square(2, deaths=9), Square(3)])) == [(2, 2), 9]
    with (
        open_local(tmp_path).open_tasks(job(tmp_path)) as run,
        pytest.raises(UnfreezeError, match=r"failed on 2 workers: square 4 \(its process ended by SIGKILL"),
    ):
        list(run([Square(4, deaths=9)]))


def test_what_is_wrong_with_a_task_is_told_at_once(tmp_path: Path) -> None:
    with (
        open_local(tmp_path).open_tasks(job(tmp_path)) as run,
        pytest.raises(UnfreezeError, match="^13 is no number to square$"),
    ):
        list(run([Square(13)]))


DRIVER = """
import sys, time
from pathlib import Path
from tests.cluster.test_tasks import Square, job, open_local
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with open_local(folder).open_tasks(job(folder)) as run:
        print(list(run([Square(2)])), flush=True)
        time.sleep(600)
"""


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}{os.pathsep}{PROJECT}"}
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "[4]\n"
        started = children_of(driver.pid)
        driver.kill()
    assert len(started) >= 1
    wait_until_ended(started)
