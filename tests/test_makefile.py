"""The environment that `make install` makes, with a lock that names no package."""

import shutil
import subprocess
from pathlib import Path

from tests.conftest import PROJECT


def make_environment(folder: Path) -> None:
    """Run make up to the environment, as `make install` does first."""
    done = subprocess.run(["make", ".venv/locked"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_environment_that_was_moved_is_made_again_and_one_that_stayed_is_not(tmp_path: Path) -> None:
    before, after = tmp_path / "before it moved", tmp_path / "after"
    before.mkdir()
    shutil.copy(PROJECT / "Makefile", before)
    (before / "requirements.lock").touch()
    make_environment(before)
    shutil.move(before, after)
    make_environment(after)
    # A program of the environment says where its Python is.
    subprocess.run([after / ".venv/bin/pip", "--version"], check=True, stdout=subprocess.DEVNULL)
    (after / ".venv/kept").touch()
    make_environment(after)
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(after / name, linked)
    (linked / ".venv").symlink_to(after / ".venv")
    make_environment(linked)
    assert (after / ".venv/kept").exists()
