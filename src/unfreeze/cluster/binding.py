"""Binds the workers of one machine to processors of their own."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import IO


def claim_processors(count: int, folder: Path | None = None) -> list[IO[bytes]]:
    """Bind this process to processors that no other worker on this machine has claimed.

    Ray counts processors and binds nobody, and OpenVINO binds its threads to the first ones that it may use: two
    workers of one thread each would share one processor.

    Args:
        count: How many.
        folder: Holds a lock for each processor; the system's folder for temporary files by default.

    Returns:
        The locks, to be kept for as long as the process is to have the processors; none where fewer are free, and
        then the process stays bound as it was.
    """
    folder = folder or Path(tempfile.gettempdir())
    claimed: dict[int, IO[bytes]] = {}
    for number in sorted(os.sched_getaffinity(0)):
        if len(claimed) == count:
            break
        try:
            lock = (folder / f"unfreeze-processor-{number}.lock").open("ab")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Another worker's, or another user's.
            continue
        claimed[number] = lock
    if len(claimed) < count:
        return []
    os.sched_setaffinity(0, set(claimed))
    return list(claimed.values())
