"""Whether a folder of the user's stayed as it was while it was read."""

from dataclasses import dataclass
from pathlib import Path

from unfreeze.errors import UnfreezeError
from unfreeze.sources.inventory import walk
from unfreeze.sources.messages import show_examples


@dataclass(frozen=True)
class Snapshot:
    """The visible files of a folder.

    Args:
        files: Size in bytes of each, and the time of its last change in nanoseconds or its version at an address.
    """

    files: dict[str, tuple[int, int]]


def take_snapshot(root: Path) -> Snapshot:
    """Note size and time of each visible file.

    Args:
        root: The folder, or a file.
    """
    files = {}
    for path in [""] if root.is_file() else walk(root).files:
        # One that went away since the walk is noticed as missing.
        try:
            files[path] = describe_file(root / path)
        except OSError:
            continue
    return Snapshot(files)


def describe_file(path: Path) -> tuple[int, int]:
    """Return a file's size in bytes and the time of its last change in nanoseconds."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def require_unchanged(before: Snapshot, root: Path, name: str) -> None:
    """Refuse a folder that changed since it was looked at: DVC would note the new state for images of the old one.

    Args:
        before: What it held.
        root: The folder.
        name: How messages call it.

    Raises:
        UnfreezeError: Names files that came, went or changed.
    """
    require_same(before, take_snapshot(root), name)


def require_same(before: Snapshot, after: Snapshot, name: str) -> None:
    """Refuse a folder of which two snapshots differ; raises as `require_unchanged`.

    Args:
        before: What it held.
        after: What it holds now.
        name: How messages call it.
    """
    changes = {
        "came": after.files.keys() - before.files.keys(),
        "went": before.files.keys() - after.files.keys(),
        "changed": {path for path, state in before.files.items() if after.files.get(path, state) != state},
    }
    told = [f"{len(paths)} {what} ({show_examples(sorted(paths))})" for what, paths in changes.items() if paths]
    if told:
        raise UnfreezeError(
            f"data.source {name} changed while it was read: {', '.join(told)}: stop what writes to it, and run "
            "`dvc repro` again"
        )
