"""What a person sees: no notice of TensorFlow's, and progress without a terminal."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unfreeze.runtime import console

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
UNWANTED = {VARIABLE: "0"}
BAR = """
from rich.console import Console
from unfreeze.runtime import console
console._console = Console(force_terminal=True, width=200)
console.count_down(own=30, after=570)
with console.progress("training xception", 2) as advance:
    advance()
"""

PROGRAM = """
import sys
from unfreeze.runtime import console
console.import_tensorflow()
import keras
print(keras.__version__)
sys.stderr.write("heard")
"""


def test_tensorflow_starts_without_a_notice_and_stderr_is_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr == "heard"
    assert done.stdout.startswith("3.")


PROCESSES = """
import multiprocessing, os, subprocess, sys

def tell():
    from tensorflow.python.util import _pywrap_util_port
    print(os.environ["TF_ENABLE_ONEDNN_OPTS"], _pywrap_util_port.IsMklEnabled(), flush=True)

if __name__ == "__main__":
    from unfreeze.training import optimizers
    tell()
    child = multiprocessing.get_context("spawn").Process(target=tell)
    child.start()
    child.join()
    subprocess.run([sys.executable, "-c", "import os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"])
"""


@pytest.mark.parametrize(
    ("given", "seen"), [({}, ["1 True", "1 True", "1"]), (UNWANTED, ["0 False", "0 False", "0"])]
)
def test_tensorflow_uses_onednn_in_every_process_unless_the_user_does_not_want_it(
    given: dict[str, str], seen: list[str], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROCESSES)
    inherited = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, program], env=inherited | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == seen


def test_without_a_terminal_the_last_step_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "unfreeze"):
        assert list(console.track("abc", "measuring images", 3)) == ["a", "b", "c"]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("measuring images: 3 of 3, ")


def test_a_note_ends_the_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "unfreeze"), console.progress("training xception", 2) as advance:
        advance(2, note="validation loss 0.5000")
    assert caplog.messages[0].endswith(", validation loss 0.5000")


def test_a_planned_study_counts_down_as_a_whole(caplog: pytest.LogCaptureFixture) -> None:
    script = "import logging\nlogging.basicConfig(level=logging.INFO)\nfrom unfreeze.runtime import console\n"
    script += "console.count_down(own=30, after=570)\nlist(console.track('a', 'measuring', 1))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip().endswith("0 s left, study: about 10 min left")
    bar = subprocess.run([sys.executable, "-c", BAR], capture_output=True, text=True, check=True).stdout
    assert "study: about 10 min left" in bar
    # Nobody has planned the study of this process.
    with caplog.at_level(logging.INFO, "unfreeze"):
        list(console.track("a", "measuring", 1))
    assert "study" not in caplog.messages[0]


def test_a_stage_that_takes_longer_than_planned_counts_by_its_own_pace() -> None:
    script = (
        "from unfreeze.runtime import console\nconsole.count_down(own=0, after=60)\n"
        "print(console.describe_study(3600.0))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "study: about 61 min left"


def test_the_start_of_processes_is_no_measure_of_the_rest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # One step after 17 seconds, then one a second.
    times = iter([0.0, 17.0, 28.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(times))
    with caplog.at_level("INFO", "unfreeze"), console.progress("checking images", 100) as advance:
        advance()
        advance(11)
    assert caplog.messages == [
        "checking images: 1 of 100, 17 s gone",
        "checking images: 12 of 100, 28 s gone, 88 s left",
    ]
