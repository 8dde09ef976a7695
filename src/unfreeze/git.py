"""What git says of a checkout."""

import hashlib
import subprocess
from pathlib import Path


def commit(root: Path) -> str:
    """Return the commit of a checkout, or `none` outside git."""
    return _say(root, "rev-parse", "HEAD") or "none"


def changed(root: Path, *names: str) -> list[str]:
    """Return which of some files and folders differ from the commit.

    Args:
        root: The checkout.
        *names: Relative to it.
    """
    return [name for name in names if _say(root, "status", "--porcelain", "--", name)]


def commits_of(root: Path, name: str) -> list[str]:
    """Return the commits of any branch that changed a file, the newest first.

    Args:
        root: The checkout.
        name: Relative to it.
    """
    return _say(root, "log", "--all", "--format=%H", "--", name).split()


def sha256(root: Path, commit: str, name: str) -> str:
    """Return the SHA-256 of a file as a commit has it.

    Args:
        root: The checkout.
        commit: One that has the file.
        name: Relative to the checkout.
    """
    shown = subprocess.run(["git", "show", f"{commit}:{name}"], cwd=root, capture_output=True, check=False)
    return hashlib.sha256(shown.stdout).hexdigest()


def _say(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()
