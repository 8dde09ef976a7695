"""What git says of a checkout."""

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


def _say(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()
