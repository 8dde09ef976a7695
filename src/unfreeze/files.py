"""Writing files so that a reader sees all of one or none of it, and reading what git may have left half merged."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import yaml

from unfreeze.errors import UnfreezeError

# Imported where a table is read: it takes a second, and commands that read no table need it not.
if TYPE_CHECKING:
    import pandas as pd

# How git marks the two sides of a conflict; between them stands a line of equals signs.
CONFLICT_MARKERS = ("<<<<<<< ", ">>>>>>> ")
# Bytes of a file's name on all usual file systems.
MAX_NAME = 255


def name_partial(path: Path) -> Path:
    """Return the name a file has until it is whole: always the same, so that what a killed process left is found."""
    return with_short_name(path.with_name(f".partial-{path.name}"))


def with_short_name(path: Path) -> Path:
    """Return a path whose last part no file system refuses: a longer one is cut, and a digest keeps it apart.

    >>> with_short_name(Path("set/cat.jpg"))
    PosixPath('set/cat.jpg')
    >>> len(with_short_name(Path("c" * 300 + ".jpg")).name)
    74
    """
    if len(path.name.encode(errors="surrogateescape")) <= MAX_NAME:
        return path
    suffix = path.suffix if len(path.suffix) < 16 else ""
    return path.with_name(f".long-{hashlib.sha256(os.fsencode(path.name)).hexdigest()}{suffix}")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; rename it if the block succeeds, remove it if not.

    Args:
        path: The file or folder to make. An old one is replaced.

    Yields:
        The temporary name. It keeps the suffix, since some writers choose a format by it.

    >>> with atomic(Path("results/scores.txt")) as partial:
    ...     _ = partial.write_text("0.96")
    >>> Path("results/scores.txt").read_text()
    '0.96'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = name_partial(path)
    remove(partial)
    try:
        yield partial
        if path.is_dir():
            shutil.rmtree(path)
        partial.replace(path)
    finally:
        remove(partial)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield an empty folder, and remove it with all that is in it when the block ends.

    Args:
        folder: Its name: always the same for the same work, so that what a killed process left is replaced.
    """
    remove(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove(folder)


def require_space(folder: Path, size: int) -> None:
    """Find out before the work whether a file can be written; some libraries crash on a disk that fills up.

    Args:
        folder: Where it will be.
        size: Its size in bytes.

    Raises:
        OSError: There is no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        # The call refuses a length of 0.
        os.posix_fallocate(probe.fileno(), 0, max(size, 1))


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there.

    >>> write_text(Path("old/scores.txt"), "0.96")
    >>> remove(Path("old"))
    >>> Path("old").exists()
    False
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    r"""Write a text file in UTF-8.

    >>> write_text(Path("notes.txt"), "Größe")
    >>> Path("notes.txt").read_bytes()[:4]
    b'Gr\xc3\xb6'
    """
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes; NaN is refused.

    >>> write_json(Path("scores.json"), {"b": 1, "a": [2]})
    >>> read_text(Path("scores.json")).split()
    ['{', '"a":', '[', '2', '],', '"b":', '1', '}']
    """
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_text(path: Path) -> str:
    """Read a text file that people edit or git merges.

    Args:
        path: The file, in UTF-8.

    Raises:
        UnfreezeError: It holds the markers of a merge conflict, or is not in UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnfreezeError(f"{_shorten_path(path)} is not text in UTF-8 ({error}): {_find_remedy(path)}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(CONFLICT_MARKERS):
            name = _shorten_path(path)
            raise UnfreezeError(
                f"{name} holds git merge conflict markers at line {number}: edit it, or take one side "
                f"(`git checkout --ours {name}` or `--theirs {name}`), then run `dvc repro` and commit what it writes"
            )
    return text


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path: The file.

    Raises:
        UnfreezeError: It is no JSON, or git has left a merge conflict in it.

    >>> write_json(Path("scores.json"), {"accuracy": 0.96})
    >>> read_json(Path("scores.json"))
    {'accuracy': 0.96}
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnfreezeError(f"{_shorten_path(path)} is not valid JSON ({error}): {_find_remedy(path)}") from error


def read_yaml(path: Path) -> Any:
    """Read a YAML file; an empty one gives None.

    Args:
        path: The file.

    Raises:
        UnfreezeError: It is no YAML, or git has left a merge conflict in it.
    """
    text = read_text(path)
    try:
        # The C parser takes a tenth of the time.
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UnfreezeError(f"{_shorten_path(path)} is not valid YAML ({reason}): {_find_remedy(path)}") from error


def _shorten_path(path: Path) -> str:
    """Return a path as short as it can be named from the working folder."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _find_remedy(path: Path) -> str:
    return f"correct it, or take the committed one with `git checkout {_shorten_path(path)}`; then run `dvc repro`"


def write_csv(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table with a header, without an index."""
    with atomic(path) as partial:
        frame.to_csv(partial, index=False, lineterminator="\n")


def write_parquet(path: Path, frame: "pd.DataFrame") -> None:
    """Write a table with the types of its columns, without an index."""
    with atomic(path) as partial:
        frame.to_parquet(partial, index=False)


def read_csv(source: Path | TextIO) -> "pd.DataFrame":
    """Read a table as text: a name such as 007 or NA stays what it is."""
    import pandas as pd

    return pd.read_csv(source, dtype=str, keep_default_na=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return a file's SHA-256 as 64 hexadecimal digits.

    >>> write_text(Path("hello.txt"), "hello")
    >>> hash_file(Path("hello.txt"))[:8]
    '2cf24dba'
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def require_pinned(path: Path, sha256: str, *, owner: str, named_by: str, pinned_by: str) -> None:
    """Refuse a file of the user's that is not there, or has another digest than the settings say.

    Args:
        path: The file.
        sha256: The digest that it must have.
        owner: What the message begins with: whose file it is, or what names it.
        named_by: The setting that names it.
        pinned_by: The setting that holds its digest.

    Raises:
        UnfreezeError: Says which of the two it is, and what to set.
    """
    if not path.is_file():
        raise UnfreezeError(f"{owner}: there is no file {path}: correct {named_by}")
    received = hash_file(path)
    if received != sha256:
        raise UnfreezeError(
            f"{owner}: {path} has sha256 {received}, expected {sha256}: if it is the right file, "
            f"set {pinned_by}: {received}"
        )
