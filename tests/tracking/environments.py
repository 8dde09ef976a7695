"""An environment that holds some requirements and what they need, and nothing else; made of links, in a second."""

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement


def link_requirements(folder: Path, requirements: list[str]) -> None:
    """Fill a folder with links to the installed files of some requirements.

    Args:
        folder: To be put on `sys.path` of a Python without site-packages.
        requirements: As in a requirements.txt.
    """
    folder.mkdir()
    seen: set[str] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            target = folder / top
            if not target.exists():
                target.symlink_to(Path(str(found.locate_file(top))))
        waiting += [Requirement(line) for line in found.requires or []]
