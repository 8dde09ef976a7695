"""Tables and lists of paths, read row by row."""

import codecs
import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO

from unfreeze.errors import UnfreezeError
from unfreeze.sources.file_types import IMAGES, get_suffix, is_hidden

SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".psv", ".txt", ".lst", ".list"})
DELIMITERS = ",;\t|"
# Names of the column, for tables whose first rows do not show it.
NAMES = [
    *("path", "file", "filename", "filepath", "file_name", "file_path"),
    *("image", "image_path", "img", "source", "url"),
]
# Rows whose values show which column holds paths.
SAMPLE = 30
CHUNK = 1 << 16


def is_table(path: Path) -> bool:
    """Tell whether a file is a table or a list of paths, by its suffix."""
    return get_suffix(path.name) in SUFFIXES


def read_paths(table: Path) -> Iterator[str]:
    """Yield the paths that a table names, as they are written there.

    Args:
        table: Text in UTF-8, or in UTF-16 with a byte order mark; with or without a header, of one or more columns.

    Raises:
        UnfreezeError: It is no such table, or no column of it holds paths of images.
    """
    with table.open("rb") as stream:
        start = stream.read(CHUNK)
    encoding = "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    if encoding != "utf-16" and b"\0" in start:
        raise UnfreezeError(f"{table} is no text: expected a table or a list of paths")
    # Names of files may be any bytes.
    with _explain_damage(table), table.open(encoding=encoding, errors="surrogateescape", newline="") as text:
        head = text.readline()
        text.seek(0)
        delimiter = max(DELIMITERS, key=head.count)
        # A list of paths may hold any character; quotes around a path of a table do not belong to it.
        lines = ([line.rstrip("\r\n")] for line in text)
        rows = csv.reader(text, delimiter=delimiter) if delimiter in head else lines
        filled = (row for row in rows if any(row))
        sample = list(islice(filled, SAMPLE))
        column, has_header = _find_column(table, sample)
        for row in chain(sample[has_header:], filled):
            yield row[column] if column < len(row) else ""


@contextmanager
def _explain_damage(table: Path) -> Iterator[None]:
    """Turn what the libraries say of a damaged table into one line."""
    try:
        yield
    except (csv.Error, UnicodeError) as error:
        raise UnfreezeError(
            f"{table} cannot be read as a table ({error}): look for a quote that is not closed, or a file that was "
            "cut short"
        ) from error


def resolve(entry: str, folder: Path) -> str:
    """Return the path or address that a table's entry means: beside the table, or else from the working folder.

    Args:
        entry: As it is written in the table.
        folder: The table's folder.
    """
    if "://" in entry:
        return entry
    path = Path(entry).expanduser()
    beside = folder / path
    return str(beside if not entry or os.path.lexists(beside) else path)


def split_paths(stream: IO[bytes]) -> Iterator[str]:
    """Yield the paths of a stream, one a line; parted by NUL if there is one, as `find -print0` writes them."""
    rest, mark = b"", b""
    while chunk := stream.readline(CHUNK):
        mark = mark or (b"\0" if b"\0" in chunk else b"\n")
        *whole, rest = (rest + chunk).split(mark)
        yield from (os.fsdecode(path.rstrip(b"\r")) for path in whole if path.strip())
    if rest.strip():
        yield os.fsdecode(rest.rstrip(b"\r\n"))


def _find_column(table: Path, sample: list[list[str]]) -> tuple[int, int]:
    """Return the column that holds paths, and 1 if the first row is a header, else 0."""
    if not sample:
        raise UnfreezeError(f"{table} is empty: expected a table or a list of paths")
    first = [cell.strip().lower() for cell in sample[0]]
    for column, cell in enumerate(sample[0]):
        if _names_image(cell, table.parent):
            return column, 0
    named = [first.index(name) for name in NAMES if name in first]
    for column in [*named, *range(len(first))]:
        if any(column < len(row) and _names_image(row[column], table.parent) for row in sample[1:]):
            return column, 1
    if named:
        return named[0], 1
    raise UnfreezeError(
        f"no column of {table} holds paths of images (its first row is {', '.join(sample[0])!r:.200}): "
        "give one the header path"
    )


def _names_image(cell: str, folder: Path) -> bool:
    if get_suffix(cell.partition("?")[0]) in IMAGES or "://" in cell:
        return True
    return bool(cell) and not is_hidden(cell) and Path(resolve(cell, folder)).is_file()
