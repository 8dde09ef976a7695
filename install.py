"""Make .venv from requirements.lock: `make install` runs this; without make, `python3 install.py` does the same.

It needs nothing but Python with its modules venv and ensurepip. pip installs the locked uv, which then installs all
packages several times faster than pip; where uv cannot be had or fails, pip installs them. Both check every digest.
"""

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSIONS = ((3, 11), (3, 12), (3, 13))
NAMES = "Python 3.11, 3.12 or 3.13"
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"
# Copies of what the environment was made from: a checkout gives files new times, and that alone installs nothing.
LOCKED, PACKAGE = VENV / "locked", VENV / "package"
# Programs in an environment name the folder that it was made in: one that was moved or copied is made again.
MADE_AT = VENV / "made_at"
# Warnings of a package index would fill the screen; errors are shown.
PIP = ("-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check", "install")
# Lets programs of the environment find each other where it is not activated: DVC starts its queue's worker as `dvc`.
PATH_FILE = "unfreeze_path.pth"
PATH_LINE = (
    "import os, sys; programs = os.path.join(sys.prefix, 'bin'); path = os.environ.get('PATH', os.defpath); "
    "programs in path.split(os.pathsep) or os.environ.update(PATH=programs + os.pathsep + path)\n"
)


class InstallError(Exception):
    """Ends the installation with a line for people."""


def main() -> None:
    """Make the environment if it is missing or its sources have changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pip", action="store_true", help="install with pip alone, without uv")
    parser.add_argument(
        "--keep-version", action="store_true", help="keep an environment of another version of Python"
    )
    options = parser.parse_args()
    try:
        require_version()
        if not is_current(keep_version=options.keep_version):
            make_environment()
            install_packages(with_uv=not options.pip)
            add_to_path()
            MADE_AT.write_text(f"{VENV.resolve()}\n", encoding="utf-8")
            shutil.copyfile(LOCK, LOCKED)
        if PROJECT.exists() and not is_same(PROJECT, PACKAGE):
            run_pip("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
            shutil.copyfile(PROJECT, PACKAGE)
    except InstallError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {VENV} cannot be written ({error}): free space, or take a folder that you may write to")
    except KeyboardInterrupt:
        sys.exit("error: interrupted; `make install` starts again")


def require_version() -> None:
    """Refuse a version of Python that the lock does not cover.

    Raises:
        InstallError: It is another.
    """
    if sys.version_info[:2] not in VERSIONS:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise InstallError(
            f"{NAMES} is needed, this is {found}: `make PYTHON=/path/to/python3.13 install`, or without make "
            "`/path/to/python3.13 install.py`"
        )


def is_current(*, keep_version: bool) -> bool:
    """Tell whether .venv is complete, in its place, and made from the lock as it is.

    Args:
        keep_version: Whether the environment may have another version of Python than the one that runs this.
    """
    if not (VENV / "bin/python").exists() or not is_same(LOCK, LOCKED) or find_origin() != str(VENV.resolve()):
        return False
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return keep_version or (VENV / "lib" / version).is_dir()


def find_origin() -> str:
    """Return the folder that the environment was made in; empty where nothing says so."""
    if MADE_AT.exists():
        return MADE_AT.read_text(encoding="utf-8").strip()
    configuration = VENV / "pyvenv.cfg"
    text = configuration.read_text(encoding="utf-8") if configuration.exists() else ""
    found = re.search(r"^command = .* -m venv (?:--[a-z-]+ )*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def is_same(source: Path, copy: Path) -> bool:
    """Tell whether a copy is there and holds the same bytes."""
    return copy.exists() and filecmp.cmp(source, copy, shallow=False)


def make_environment() -> None:
    """Make an empty environment with pip in it; what was there is removed.

    Raises:
        InstallError: This Python cannot make one.
    """
    if os.pathsep in str(ROOT):
        raise InstallError(f"the folder {ROOT} has a colon in its path, which no PATH can hold: rename or move it")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split())
        raise InstallError(
            f"{sys.executable} made no environment ({reason}): on Debian and Ubuntu `apt-get install python3-venv`, "
            f"elsewhere take another {NAMES} by `make PYTHON=/path/to/python3.13 install`"
        )


def install_packages(*, with_uv: bool) -> None:
    """Install what the lock names, with uv if it can be had, else with pip; both check digests.

    Raises:
        InstallError: Neither can.
    """
    count = len(re.findall(r"^\S+==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    say(f"installing {count} packages into {VENV}, about a minute")
    if with_uv and count:
        reason = install_with_uv()
        if not reason:
            return
        say(f"uv did not install them ({reason}): pip does, about twice as slowly")
    # One package says that it is not for these versions of Python, and another requires it: uv installs it too.
    run_pip("--require-hashes", "--no-deps", "--ignore-requires-python", "--requirement", str(LOCK))


def add_to_path() -> None:
    """Let each Python of the environment put the environment's programs on its PATH."""
    command = [str(VENV / "bin/python"), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    folder = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    Path(folder, PATH_FILE).write_text(PATH_LINE, encoding="utf-8")


def install_with_uv() -> str:
    """Install the lock with the uv that it names.

    Returns:
        Why it failed; empty if it did not.
    """
    found = re.search(r"^uv==.*?(?=^\S)", LOCK.read_text(encoding="utf-8") + "\n.", re.MULTILINE | re.DOTALL)
    if not found:
        return "the lock names no uv"
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, "uv.txt")
        alone.write_text(found.group(), encoding="utf-8")
        try:
            run_pip("--require-hashes", "--no-deps", "--requirement", str(alone), capture_output=True)
        except InstallError as error:
            return str(error)
    command = [
        str(VENV / "bin/uv"), "pip", "install", "--quiet", "--python", str(VENV / "bin/python"),
        "--require-hashes", "--no-deps", "--requirement", str(LOCK), *cache_options(),
    ]  # fmt: skip
    done = subprocess.run(command, env={**find_index(), **os.environ}, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else shorten(done.stderr)


def cache_options() -> list[str]:
    """Return the options of uv that let it work where its cache cannot be written, as without a home."""
    home = os.environ.get("HOME") or "/"
    place = Path(os.environ.get("UV_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache").absolute()
    while not place.exists():
        place = place.parent
    return [] if os.access(place, os.W_OK | os.X_OK) else ["--no-cache"]


def find_index() -> dict[str, str]:
    """Return the variables that give uv the package index and the certificates that the user has set for pip."""
    command = [str(VENV / "bin/python"), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    # The last line of a key counts: pip lists files before the environment.
    settings = dict(re.findall(r"^(?:global|install|site|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE))
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE", "trusted-host": "UV_INSECURE_HOST"}
    return {names[key]: value for key, value in settings.items() if key in names} | {"UV_HTTP_TIMEOUT": "120"}


def run_pip(*arguments: str, capture_output: bool = False) -> None:
    """Install with the environment's pip.

    Args:
        *arguments: What and how.
        capture_output: Put what pip says into the error instead of the screen.

    Raises:
        InstallError: It fails.
    """
    command = [str(VENV / "bin/python"), *PIP, *arguments]
    done = subprocess.run(command, capture_output=capture_output, text=True, check=False)
    if done.returncode:
        reason = shorten(done.stderr) if capture_output else "its reason stands above"
        raise InstallError(f"pip failed ({reason}): see that the package index can be reached, then run this again")


def shorten(text: str) -> str:
    """Return the lines of an error message as one, without what follows after the first of them that fit a line."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]} ..."


def say(line: str) -> None:
    """Show a line at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
