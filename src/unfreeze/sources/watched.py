"""Whether DVC can hash the file or folder that it watches: its own messages name no remedy."""

import os
from collections import defaultdict
from pathlib import Path

from unfreeze.errors import UnfreezeError
from unfreeze.sources.inventory import refuse_unreadable
from unfreeze.sources.messages import require_none

PROBLEMS = {
    "links to nothing": "remove them, or bring back what they lead to",
    "names that are not UTF-8": "rename them, such as with `convmv -f latin1 -t utf8 -r --notest`",
    "files that cannot be read": "make them readable (`chmod u+r`)",
    "entries that are neither files nor folders": "move them out",
}


def require_hashable(watch: str) -> None:
    """Refuse what DVC would end on when it hashes `data.watch`, or wait for without end.

    Args:
        watch: The file or folder, as params.yaml has it; a relative one is in the working folder.

    Raises:
        UnfreezeError: It does not exist, begins with `~`, or holds what cannot be hashed; names it and the remedy.
    """
    if watch.startswith("~"):
        raise UnfreezeError(
            f"data.watch {watch!r} begins with ~, which only a shell replaces: give the whole path, "
            f"{str(Path(watch).expanduser())!r} (in data.source too)"
        )
    path = Path(watch)
    if not path.exists():
        problem = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise UnfreezeError(f"data.watch {watch!r} {problem}: give a file or folder that changes when the data does")
    found: dict[str, list[str]] = defaultdict(list)
    waiting = [str(path)] if path.is_dir() else []
    while waiting:
        folder = waiting.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            refuse_unreadable(error)
        for entry in entries:
            if (wrong := _find_problem(entry)) is not None:
                found[wrong].append(os.path.relpath(entry.path, path))
            # DVC does not look into linked folders.
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    for problem, remedy in PROBLEMS.items():
        require_none(sorted(found[problem]), f"data.watch {watch}", problem, f"{remedy}, since DVC cannot hash them")


def _find_problem(entry: "os.DirEntry[str]") -> str | None:
    if entry.name.encode(errors="replace").decode() != entry.name:
        return "names that are not UTF-8"
    if entry.is_dir(follow_symlinks=False):
        return None
    if entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 (a Path a file costs seconds)
        return "links to nothing"
    if not (entry.is_file() or entry.is_dir()):
        return "entries that are neither files nor folders"
    return None if os.access(entry.path, os.R_OK) else "files that cannot be read"
