"""A file of events that survives a killed process: each event is on disk before the work goes on."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from unfreeze.errors import UnfreezeError


class Journal:
    """Events of one piece of work, in order; a restarted process reads the events so far.

    While it is open, no other process can open it.

    Args:
        path: The file; it is created if it is missing.

    Raises:
        UnfreezeError: Another process is writing it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnfreezeError(f"{path} is being written by another process: wait for it, or stop it") from error
        self.events = self._read()

    def begin(self, settings: dict[str, Any]) -> None:
        """Begin the work, or resume what an earlier process began.

        Args:
            settings: What the work depends on, as JSON values by name.

        Raises:
            UnfreezeError: The events are those of other settings.
        """
        if not self.events:
            self.append({"settings": settings})
        folder, before = self._path.parent, self.events.pop(0)["settings"]
        now = _normalize(settings)
        changed = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
        if changed:
            shown = ", ".join(f"{name} {before.get(name)}, now {now.get(name)}" for name in changed)
            raise UnfreezeError(
                f"{folder} holds an unfinished search with other settings ({shown}): set them back to finish "
                f"it, or remove {folder} to begin anew"
            )

    def append(self, event: dict[str, Any]) -> None:
        """Add an event; it is on disk when this returns."""
        self._stream.write(json.dumps(event).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.events.append(_normalize(event))

    def close(self) -> None:
        """Let another process write."""
        self._stream.close()

    def _read(self) -> list[dict[str, Any]]:
        """Return the complete lines; a last one that a killed process left incomplete is removed."""
        self._stream.seek(0)
        content = self._stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._stream.truncate(len(whole))
        return [json.loads(line) for line in whole.splitlines()]


def _normalize(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event as it comes back from the file: tuples as lists."""
    read: dict[str, Any] = json.loads(json.dumps(event))
    return read
