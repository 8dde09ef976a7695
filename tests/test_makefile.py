"""The environment that `make install` makes, with a lock that names a package or two, and recipes in any folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

# A path that shells, make and addresses read signs of their own in.
ODD = "my (ol\u00e9) 'folder', #1"
LOCK = (PROJECT / "requirements.lock").read_text()


def lock_of(*names: str) -> str:
    """Return the lock's lines of some packages."""
    found = [re.search(rf"^{name}==.*?(?=^\S|\Z)", LOCK, re.MULTILINE | re.DOTALL) for name in names]
    return "".join(match.group() for match in found if match)


def lay_out(folder: Path, lock: str) -> Path:
    """Make a folder in which `make install` finds what it needs."""
    folder.mkdir()
    for name in ("Makefile", "install.py"):
        shutil.copy(PROJECT / name, folder)
    (folder / "requirements.lock").write_text(lock)
    return folder


def install(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `make install`."""
    # An index that is not there, of which pip warns at each package.
    index = {"PIP_EXTRA_INDEX_URL": "file:///not/there/simple"}
    return subprocess.run(
        ["make", "install", *options],
        cwd=folder, env={**os.environ, **index, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def runs_in(folder: Path, *command: str) -> str:
    """Run a program of a folder's environment that is not activated."""
    program, *arguments = command
    done = subprocess.run(
        [folder / ".venv/bin" / program, *arguments],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_an_environment_is_made_again_where_it_was_moved_or_another_python_is_named(tmp_path: Path) -> None:
    before, after = lay_out(tmp_path / "before it moved", ""), tmp_path / "after"
    assert install(before).returncode == 0
    shutil.move(before, after)
    assert install(after).returncode == 0
    # A program of the environment says where its Python is.
    assert str(after) in runs_in(after, "pip", "--version")
    (after / ".venv/kept").touch()
    assert install(after).stderr == ""
    linked = lay_out(tmp_path / "linked", "")
    (linked / ".venv").symlink_to(after / ".venv")
    assert install(linked).returncode == 0
    # Another version of Python is no reason to make it again, unless it was named.
    (after / ".venv/lib").rename(after / ".venv/lib of another version")
    assert install(after).stderr == ""
    assert (after / ".venv/kept").exists()
    command = ["make", "--no-print-directory", "--dry-run", "install", "PYTHON=python3"]
    shown = subprocess.run(command, cwd=after, capture_output=True, text=True, check=True).stdout
    assert shown.split() == ['"python3"', "install.py"]


def test_uv_installs_the_lock_without_a_word_of_the_index_and_checks_digests(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / ODD, lock_of("uv", "iniconfig"))
    # uv keeps no cache where it cannot.
    done = install(folder, HOME="/dev/null/home")
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("installing 2 packages into ")
    assert runs_in(folder, "python", "-c", "import iniconfig; print(iniconfig.__name__)") == "iniconfig"
    # uv signs what it has installed.
    (installer,) = (folder / ".venv").glob("lib/*/site-packages/iniconfig-*.dist-info/INSTALLER")
    assert installer.read_text().strip() == "uv"
    # DVC starts a worker by its bare name.
    found = runs_in(folder, "python", "-c", "import shutil; print(shutil.which('uv'))")
    assert found == str(folder / ".venv/bin/uv")
    wrong = re.sub(
        r"(iniconfig==.*?sha256:)\w{4}(\w+).*", r"\g<1>0000\2\n", lock_of("uv", "iniconfig"), flags=re.DOTALL
    )
    (folder / "requirements.lock").write_text(wrong)
    refused = install(folder)
    assert refused.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in refused.stderr
    assert not (folder / ".venv/locked").exists()


def test_pip_alone_will_do(tmp_path: Path) -> None:
    # The second one says that it is for older versions of Python alone.
    folder = lay_out(tmp_path / "plain", lock_of("iniconfig", "backports-strenum"))
    done = install(folder)
    assert done.returncode == 0, done.stderr
    assert "the lock names no uv" in done.stderr
    assert "WARNING" not in done.stderr
    (installer,) = (folder / ".venv").glob("lib/*/site-packages/iniconfig-*.dist-info/INSTALLER")
    assert installer.read_text().strip() == "pip"
    assert list((folder / ".venv").glob("lib/*/site-packages/backports_strenum-*.dist-info"))


def test_without_a_fit_python_one_line_names_those_that_are(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    old = programs / "python3"
    # As of an old Python, which finds no `match` and no new enough version.
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    (programs / "make").symlink_to(str(shutil.which("make")))
    done = install(lay_out(tmp_path / "folder", ""), PATH=str(programs))
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert "Python 3.11, 3.12 or 3.13" in line
    assert "make PYTHON=/path/to/python3.13 install" in line


def test_make_docs_opens_the_page_in_any_folder(tmp_path: Path) -> None:
    folder = lay_out(tmp_path / ODD, "")
    for name in ("data.html", "data_docs/suite/index.html"):
        (folder / "reports" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "reports" / name).touch()
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    # As `make test` runs it, make would say which folder it enters.
    command = ["make", "--no-print-directory", "--old-file=install", "docs"]
    shown = subprocess.run(
        command, cwd=folder, env={**os.environ, "BROWSER": str(browser)}, capture_output=True, text=True
    )
    assert shown.stdout.splitlines() == [
        f"{folder}/reports/data.html",
        f"{folder}/reports/data_docs/suite/index.html",
    ]
    assert (tmp_path / "opened").read_text() == (folder / "reports/data.html").as_uri()


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_each_version_of_python_has_a_wheel_of_every_package(python: str, tmp_path: Path) -> None:
    # One package is published as source alone; it is pure Python.
    wheels = ("--only-binary", ":all:", "--no-binary", "antlr4-python3-runtime")
    command = ("uv", "pip", "install", "--dry-run", "--no-deps", "--require-hashes", "--python-version", python)
    place = ("--python-platform", "x86_64-manylinux_2_28", "--target", str(tmp_path))
    done = subprocess.run(
        [*command, *place, *wheels, "--requirement", str(PROJECT / "requirements.lock")],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
