"""Ctrl-C in a terminal reaches all processes of a command at once, whatever is loading at that moment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Checkout, checkout_with_images

# Python runs this first in every process: the signal comes when a module begins to load in one of them.
SITECUSTOMIZE = """
import os, signal, sys

def interrupt(event, arguments):
    if event == "import" and arguments[0] == os.environ["INTERRUPT_AT"]:
        try:
            os.close(os.open(os.environ["INTERRUPTED"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.killpg(0, signal.SIGINT)

sys.addaudithook(interrupt)
"""


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    made = checkout_with_images(tmp_path_factory.mktemp("downloaded"), 12)
    for stage in ("code", "validate", "download"):
        made.run("unfreeze", stage)
    return made


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("backbones", "unfreeze.runtime.imports"),
        ("backbones", "pandas"),
        ("backbones", "tensorflow.python"),
        ("backbones", "keras.src.backend"),
        ("sync", "mlflow"),
        ("check", "cv2"),
        # Loads in a process beside the stage.
        ("check", "great_expectations"),
        # Start other processes.
        ("check", "multiprocessing.resource_tracker"),
        ("check", "multiprocessing.forkserver"),
    ],
)
def test_an_interrupt_while_libraries_load_is_one_line(
    downloaded: Checkout, tmp_path: Path, command: str, module: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    code = f"{tmp_path}{os.pathsep}{downloaded.root / 'src'}"
    done = subprocess.run(
        [Path(sys.executable).parent / "unfreeze", command],
        cwd=downloaded.root,
        env={**os.environ, "PYTHONPATH": code, "INTERRUPT_AT": module, "INTERRUPTED": str(tmp_path / "interrupted")},
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert (tmp_path / "interrupted").exists()
    assert done.returncode == 130
    # A stage that has worked for a second has said how far it is.
    said = [line for line in done.stderr.splitlines() if not line.startswith("INFO ")]
    assert said == ["error: interrupted; finished stages are kept, `dvc repro` goes on from there"]
