"""The command that runs the study with several backbones at the same time, each by a DVC of its own."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from unfreeze import dvc_repo
from unfreeze.cli.stages import BACKBONE, read_stages
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.params import Params, load

# Ctrl-C in a terminal reaches all processes by itself: they are given this long before they are interrupted again.
SECONDS_TO_END = 15.0
# A stage that is interrupted in a library's call ends when the call does.
SECONDS_TO_STOP = 60.0


def add(commands: Any) -> None:
    """Add the command to the parser's.

    Args:
        commands: What `ArgumentParser.add_subparsers` returned.
    """
    command = commands.add_parser(
        "repro", help="run the study as `dvc repro` does, several backbones at the same time"
    )
    command.add_argument(
        "--at-once",
        type=int,
        metavar="N",
        help="how many backbones; all of them where cluster.engine is ray, else one",
    )
    command.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> None:
    paths = Paths.here()
    params = load(paths.params)
    at_once = count_at_once(options.at_once, params)
    if at_once > 1:
        stages = read_stages(paths)
        of_backbone = [name for name, stage in stages.items() if BACKBONE in stage["cmd"]]
        # The stages of dvc.yaml are in the order in which they run.
        shared = list(stages)[: list(stages).index(of_backbone[0])]
        dvc_repo.reproduce(paths.root, *shared)
        run_at_once(paths.root, params.study.backbones, of_backbone, at_once)
    dvc_repo.reproduce(paths.root)


def count_at_once(wanted: int | None, params: Params) -> int:
    """Return how many backbones run at the same time.

    Args:
        wanted: How many the user wants; None for the default.
        params: All parameters.

    Raises:
        UnfreezeError: Fewer than one are wanted.
    """
    if wanted is not None and wanted < 1:
        raise UnfreezeError(f"--at-once {wanted}: expected 1 or more")
    count = len(params.study.backbones)
    return min(wanted or (count if params.cluster.engine == "ray" else 1), count)


def run_at_once(root: Path, backbones: Iterable[str], stages: list[str], at_once: int) -> None:
    """Run the stages of each backbone one after another, and the backbones at the same time.

    Args:
        root: The checkout, in which all that the stages share has been run.
        backbones: The backbones.
        stages: Names of the stages that run once a backbone, in their order.
        at_once: How many backbones run at the same time.

    Raises:
        UnfreezeError: A stage failed; the other backbones were stopped.
    """
    processes = Processes(root)
    with ThreadPoolExecutor(at_once) as pool:
        runs = [pool.submit(_run_backbone, processes, backbone, stages) for backbone in backbones]
        try:
            wait(runs, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            processes.stop(SECONDS_TO_END)
            raise
        failed = [error for run in runs if run.done() and (error := run.exception())]
        if failed:
            processes.stop(0)
            raise failed[0]


class Processes:
    """Processes of DVC that run at the same time and are stopped together.

    Args:
        root: The checkout.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._stopped = False
        self._started: list[psutil.Popen] = []

    def start(self, *arguments: str) -> psutil.Popen | None:
        """Start one; None if all were stopped."""
        with self._lock:
            if self._stopped:
                return None
            process = dvc_repo.start(self._root, *arguments)
            self._started.append(process)
            return process

    def stop(self, seconds: float) -> None:
        """Interrupt all that run, with what they have started, as Ctrl-C does; start no more.

        Args:
            seconds: They are interrupted if they have not ended by themselves within this time.
        """
        with self._lock:
            self._stopped = True
        _, running = psutil.wait_procs(self._started, seconds)
        family = [process for parent in running for process in _list_family(parent)]
        _signal(family, signal.SIGINT)
        psutil.wait_procs(running, SECONDS_TO_STOP)
        _signal(family, signal.SIGKILL)


def _list_family(parent: psutil.Process) -> list[psutil.Process]:
    """Return a process with all that it has started."""
    with suppress(psutil.NoSuchProcess):
        return [parent, *parent.children(recursive=True)]
    return []


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        # psutil knows when a number belongs to another process by now.
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _run_backbone(processes: Processes, backbone: str, stages: list[str]) -> None:
    # Each stage by itself: DVC would lock for writing what all backbones share and is up to date, and refuse that
    # while another one reads it. It locks the repository while it copies outputs into its cache: others wait for it.
    targets = [f"{stage}@{backbone}" for stage in stages]
    process = processes.start("--wait-for-lock", "repro", "--single-item", *targets)
    if process is None:
        return
    assert process.stdout is not None
    for line in process.stdout:
        sys.stderr.write(f"{backbone}: {line}" if line.strip() else "")
        sys.stderr.flush()
    if process.wait():
        raise UnfreezeError(
            f"{backbone}: dvc repro ended with status {process.returncode}, its reason stands above, and the other "
            "backbones were stopped: correct it and run this again; what was done is kept"
        )
