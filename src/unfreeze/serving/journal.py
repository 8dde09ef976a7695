"""Rows on disk while a run goes on, so that a killed run goes on where it was."""

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.serving.inputs import Input
from unfreeze.serving.predictions import Form, Row, from_line, to_line


class Journal:
    """The rows of a file that is not whole yet; it lies beside that file, one line of JSON a row.

    Args:
        out: The file that the rows are for.
        form: What the rows hold.

    Raises:
        UnfreezeError: Another process writes the file, or it was begun with another model or other options.
    """

    def __init__(self, out: Path, form: Form) -> None:
        self.path = files.with_short_name(out.with_name(f".predicting-{out.name}.jsonl"))
        self._out, self._header = out, {"form": asdict(form)}
        # Whether an earlier run ended before its file was whole.
        self.goes_on = False
        out.parent.mkdir(parents=True, exist_ok=True)
        self._stream = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            self._lock()
            self._require_same_form()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def skip(self, inputs: Iterator[tuple[int, Input]], done: Callable[[Row], None]) -> Iterator[tuple[int, Input]]:
        """Yield the inputs from the first one on that has no row; rows behind that place are dropped.

        Args:
            inputs: All inputs with their places.
            done: Takes each row that is kept.
        """
        place = self._stream.tell()
        is_known = True
        for number, found in inputs:
            if is_known:
                row = _read_row(self._stream.readline(), found)
                if row is not None:
                    place = self._stream.tell()
                    found.discard()
                    done(row)
                    continue
                is_known = False
                self._cut(place)
            yield number, found
        if is_known:
            self._cut(place)

    def append(self, rows: list[tuple[Input, Row]]) -> None:
        """Add the rows of the next inputs.

        Raises:
            OSError: There is no room for them.
        """
        lines = [json.dumps({"stamp": found.stamp, **to_line(row)}) for found, row in rows]
        self._write("".join(f"{line}\n" for line in lines).encode())

    def read(self) -> Iterator[Row]:
        """Yield all rows."""
        with self.path.open("rb") as stream:
            stream.readline()
            for line in stream:
                values = json.loads(line)
                del values["stamp"]
                yield from_line(values)

    def remove(self) -> None:
        """Remove the journal: the file is whole."""
        files.remove(self.path)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
            raise UnfreezeError(
                f"another `unfreeze predict` is writing {self._out}: wait for it, or name another file with --out"
            ) from error

    def _require_same_form(self) -> None:
        header = self._stream.readline()
        # A killed process may have left a part of it.
        if not header.endswith(b"\n"):
            self._cut(0)
            self._write(f"{json.dumps(self._header)}\n".encode())
            return
        self.goes_on = True
        found = _parse(header).get("form", {})
        for name, what in (("model", "model"), ("version", "version"), ("top", "--top"), ("coverage", "--sets")):
            ours = self._header["form"][name]
            if found.get(name) != ours:
                raise UnfreezeError(
                    f"{self._out} was begun with {what} {str(found.get(name)):.12}, not {str(ours):.12}: go on with "
                    f"that, name another file with --out, or delete {self.path}"
                )
        if found != self._header["form"]:
            raise UnfreezeError(f"{self.path} was begun with another package of this model: delete it to begin anew")

    def _cut(self, place: int) -> None:
        self._stream.seek(place)
        self._stream.truncate()

    def _write(self, data: bytes) -> None:
        self._stream.write(data)
        self._stream.flush()


def _read_row(line: bytes, found: Input) -> Row | None:
    """Return a line's row if it is whole and the input's."""
    values = _parse(line) if line.endswith(b"\n") else {}
    stamp = values.pop("stamp", None)
    if values.get("source") != found.source or stamp != list(found.stamp):
        return None
    try:
        return from_line(values)
    except (KeyError, TypeError, ValueError):
        return None


def _parse(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
