"""Several backbones at the same time, with real DVC, whose stages are small programs.

The programs are those that are installed: what they start is to end with them.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import INSTALLED, Checkout
from unfreeze import dvc_repo
from unfreeze.cli.repro import count_at_once
from unfreeze.errors import UnfreezeError

PIPELINE = """
stages:
  code:
    desc: Shared by all.
    cmd: echo shared >> runs.txt && echo shared > shared.txt
    outs: [shared.txt]
  train:
    desc: Ends when each backbone has begun.
    matrix:
      backbone: ${study.backbones}
    cmd: sh train.sh ${item.backbone}
    deps: [shared.txt]
    outs: ["trained_${item.backbone}.txt"]
  score:
    desc: Follows.
    matrix:
      backbone: ${study.backbones}
    cmd: cp trained_${item.backbone}.txt scored_${item.backbone}.txt
    deps: ["trained_${item.backbone}.txt", shared.txt]
    outs: ["scored_${item.backbone}.txt"]
  report:
    desc: Follows on all.
    cmd: cat scored_mobilenetv2.txt scored_from_scratch.txt > report.txt
    deps: [scored_mobilenetv2.txt, scored_from_scratch.txt]
    outs: [report.txt]
"""
MEET = """
echo $1 >> runs.txt; touch begun_$1
while ! [ -e begun_mobilenetv2 -a -e begun_from_scratch ]; do sleep 0.05; done
echo result of $1 > trained_$1.txt
"""
ONE_FAILS = """
touch begun_$1
while ! [ -e begun_mobilenetv2 -a -e begun_from_scratch ]; do sleep 0.05; done
[ $1 = mobilenetv2 ] && { echo no such layer >&2; exit 3; }
exec sleep 600
"""
BOTH_SLEEP = "touch begun_$1; exec sleep 600"


@pytest.fixture
def pipeline(checkout: Checkout) -> Checkout:
    checkout.compose("study.backbones=[mobilenetv2,from_scratch]")
    checkout.paths.pipeline.write_text(PIPELINE)
    (checkout.root / "train.sh").write_text(MEET)
    return checkout


def list_runs(checkout: Checkout) -> list[str]:
    return sorted((checkout.root / "runs.txt").read_text().split())


def find_sleepers(root: Path) -> list[psutil.Process]:
    return [
        found for found in psutil.process_iter(["name", "cwd"]) if found.info == {"name": "sleep", "cwd": str(root)}
    ]


def start_and_wait_until_both_sleep(checkout: Checkout) -> subprocess.Popen[str]:
    (checkout.root / "train.sh").write_text(BOTH_SLEEP)
    process = subprocess.Popen(
        [sys.executable, "-m", "unfreeze", "repro", "--at-once", "2"],
        cwd=checkout.root,
        env={**os.environ, "PYTHONPATH": str(checkout.root / "src")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while len(find_sleepers(checkout.root)) < 2:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    return process


def test_backbones_run_at_once_and_dvc_knows_all_that_they_made(pipeline: Checkout) -> None:
    # One after another the first would wait for the second for ever.
    done = pipeline.try_run("unfreeze", "repro", "--at-once", "2", PATH=INSTALLED)
    assert done.returncode == 0, done.stderr
    assert list_runs(pipeline) == ["from_scratch", "mobilenetv2", "shared"]
    assert (pipeline.root / "report.txt").read_text() == "result of mobilenetv2\nresult of from_scratch\n"
    assert "mobilenetv2: Running stage 'score@mobilenetv2':" in done.stderr.splitlines()
    assert dvc_repo.is_complete(pipeline.root)
    lock = yaml.safe_load(pipeline.paths.dvc_lock.read_text())["stages"]
    of_backbone = {f"{stage}@{name}" for stage in ("train", "score") for name in ("mobilenetv2", "from_scratch")}
    assert set(lock) == {"code", "report"} | of_backbone
    # Nothing has changed, and nothing runs again.
    pipeline.run("unfreeze", "repro", "--at-once", "2", PATH=INSTALLED)
    assert len(list_runs(pipeline)) == 3


def test_the_first_failure_stops_the_others_with_one_message(pipeline: Checkout) -> None:
    (pipeline.root / "train.sh").write_text(ONE_FAILS)
    done = pipeline.try_run("unfreeze", "repro", "--at-once", "2", PATH=INSTALLED)
    assert done.returncode == 1
    assert "mobilenetv2: no such layer" in done.stderr.splitlines()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: mobilenetv2: dvc repro ended with status ")
    assert find_sleepers(pipeline.root) == []
    # What was stopped can be run.
    (pipeline.root / "train.sh").write_text(MEET)
    pipeline.run("unfreeze", "repro", "--at-once", "2", PATH=INSTALLED)
    assert dvc_repo.is_complete(pipeline.root)


@pytest.mark.parametrize("of_terminal", [True, False])
def test_an_interrupt_ends_all(pipeline: Checkout, of_terminal: bool) -> None:
    process = start_and_wait_until_both_sleep(pipeline)
    if of_terminal:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "error: interrupted; finished stages are kept, `dvc repro` goes on from there"
    assert find_sleepers(pipeline.root) == []


def test_all_killed_in_the_middle_goes_on(pipeline: Checkout) -> None:
    process = start_and_wait_until_both_sleep(pipeline)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    # DVC takes a process for one that works until the system has forgotten it.
    psutil.wait_procs(started, timeout=60)
    (pipeline.root / "train.sh").write_text(MEET)
    pipeline.run("unfreeze", "repro", "--at-once", "2", PATH=INSTALLED)
    assert dvc_repo.is_complete(pipeline.root)
    # The shared stage was done before.
    assert list_runs(pipeline) == ["from_scratch", "mobilenetv2", "shared"]


def test_by_default_all_run_at_once_on_a_cluster_and_one_on_this_machine(checkout: Checkout) -> None:
    local = checkout.compose("study.backbones=[mobilenetv2,xception,from_scratch]")
    cluster = checkout.compose("study.backbones=[mobilenetv2,xception,from_scratch]", "cluster.engine=ray")
    assert [count_at_once(None, local), count_at_once(None, cluster)] == [1, 3]
    assert [count_at_once(2, local), count_at_once(9, local)] == [2, 3]
    with pytest.raises(UnfreezeError, match="--at-once 0: expected 1 or more"):
        count_at_once(0, local)
