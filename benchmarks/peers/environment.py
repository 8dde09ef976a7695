"""The peers' environment: outside the project's own, as none of what it holds is needed to use the project."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.inputs import ROOT
from unfreeze import files

FOLDER = ROOT / ".bench/peers"
PACKAGES = ROOT / "benchmarks/peers.txt"
VERSIONS = """
import importlib.metadata, json
print(json.dumps({name: importlib.metadata.version(name) for name in %r}))
"""


def make(folder: Path = FOLDER, packages: Path = PACKAGES) -> Path:
    """Install the packages, unless they are installed already; return the environment's Python.

    Args:
        folder: Where.
        packages: The pinned packages, as pip reads them.
    """
    python, installed = folder / "bin/python", folder / "installed.txt"
    wanted = packages.read_text(encoding="utf-8")
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", packages], check=True)
        files.write_text(installed, wanted)
    return python


def find_versions(python: Path, packages: Path = PACKAGES) -> dict[str, str]:
    """Return the versions of the packages in an environment.

    Args:
        python: Its Python.
        packages: The pinned packages, whose names are looked up.
    """
    lines = packages.read_text(encoding="utf-8").splitlines()
    names = [line.partition("==")[0] for line in lines if line and not line.startswith("#")]
    done = subprocess.run([python, "-c", VERSIONS % names], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions
