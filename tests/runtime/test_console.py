"""What a person sees: no notice of TensorFlow's, and progress without a terminal."""

import logging
import subprocess
import sys

import pytest

from unfreeze.runtime import console

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


def test_without_a_terminal_the_last_step_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "unfreeze"):
        assert list(console.track("abc", "measuring images", 3)) == ["a", "b", "c"]
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("measuring images: 3 of 3, ")


def test_a_note_ends_the_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "unfreeze"), console.progress("training xception", 2) as advance:
        advance(2, note="validation loss 0.5000")
    assert caplog.messages[0].endswith(", validation loss 0.5000")
