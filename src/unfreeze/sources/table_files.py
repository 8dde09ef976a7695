"""Tables of any usual form as text: CSV of any delimiter and encoding, JSON Lines, JSON, Excel and Parquet."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze.sources.file_types import get_suffix
from unfreeze.sources.spreadsheets import read_first_sheet

# In the order in which they are tried; the last stands for runs of blanks.
WHITESPACE = "whitespace"
DELIMITERS = (",", ";", "\t", "|", WHITESPACE)
# Byte order marks, the longer ones first, and the encodings they stand for.
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
SPREADSHEETS = (".xlsx", ".xlsm")
PARQUET = (".parquet", ".pq")
LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Table:
    """A table as text.

    Args:
        rows: Its rows below the header; every value is text, empty where there is none. Columns are named by the
            header, or numbered from 0 without one.
        delimiter: What separates its columns; empty where the format says that itself.
        note: What was guessed to read it; empty if nothing was.
    """

    rows: pd.DataFrame
    delimiter: str = ""
    note: str = ""

    def without_header(self) -> "Table":
        """Return the table with its header as a first row, and numbered columns."""
        first = pd.DataFrame([list(self.rows.columns)])
        rest = self.rows.set_axis(range(self.rows.shape[1]), axis=1)
        return Table(pd.concat([first, rest], ignore_index=True), self.delimiter, self.note)


def read_candidates(file: Path) -> Iterator[Table]:
    """Yield each way in which a file is a table of at least two columns, with its first row as the header.

    Args:
        file: The file.

    Raises:
        ValueError: The file is no table of the kind its suffix promises.
        OSError: It cannot be read.
    """
    suffix = get_suffix(file.name)
    if suffix in PARQUET:
        # Those with images in them are read by a reading of their own.
        if not list_image_columns(file):
            yield Table(make_text(read_parquet(file)))
    elif suffix in SPREADSHEETS:
        yield Table(_make_frame(read_first_sheet(file)))
    elif suffix in LINES or suffix == ".json":
        yield _read_json(file, lines=suffix in LINES)
    else:
        text, note = read_text(file)
        for delimiter in DELIMITERS:
            rows = split_rows(text, delimiter)
            if rows:
                yield Table(_make_frame(rows), delimiter, note)


def read_text(file: Path) -> tuple[str, str]:
    """Return a file's text and, where its encoding was guessed, a note about that.

    Args:
        file: UTF-8 or UTF-16 with or without a byte order mark (UTF-16 only with one), else Latin-1.

    Raises:
        ValueError: It is no text.
    """
    data = file.read_bytes()
    note = ""
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise ValueError(f"its byte order mark promises {encoding}, which it is not") from error
        text = data.decode("cp1252", errors="replace")
        note = f"is not UTF-8 (byte {data[error.start]:#x}): read as Latin-1"
    if "\0" in text:
        raise ValueError("it holds NUL characters, so it is no text")
    return text.replace("\r\n", "\n").replace("\r", "\n"), note


def split_rows(text: str, delimiter: str) -> list[list[str]]:
    """Return the rows of a text; none if they have fewer than two columns, or not all the same number.

    Args:
        text: Lines that end with a line feed.
        delimiter: One of `DELIMITERS`.
    """
    # What Excel writes above a table to say what parts its columns.
    text = re.sub(r'\A"?sep=.{1,2}\n', "", text)
    if delimiter == WHITESPACE:
        rows = [line.split() for line in text.split("\n") if line.strip()]
    else:
        head = next((line for line in text.split("\n") if line.strip()), "")
        if delimiter not in head:
            return []
        reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=delimiter != "\t")
        try:
            rows = [row for row in reader if any(row)]
        except csv.Error:
            return []
    width = len(rows[0]) if rows else 0
    return rows if width > 1 and all(len(row) == width for row in rows) else []


def list_image_columns(file: Path) -> dict[str, bool]:
    """Return the columns of a Parquet file that hold bytes, and whether each is a structure with `bytes` in it.

    Args:
        file: The file.

    Raises:
        ValueError: It is no Parquet file.
    """
    import pyarrow
    import pyarrow.parquet

    found = {}
    for column in pyarrow.parquet.read_schema(file):
        if pyarrow.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            found[column.name] = True
        elif pyarrow.types.is_binary(column.type) or pyarrow.types.is_large_binary(column.type):
            found[column.name] = False
    return found


def read_parquet(file: Path, *, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file, whole numbers with gaps as such.

    Args:
        file: The file.
        columns: Those to read; None for all.
    """
    import pyarrow.parquet

    # Without what pandas noted on an index, which would take columns away.
    table = pyarrow.parquet.read_table(file, columns=columns)
    frame: pd.DataFrame = table.replace_schema_metadata().to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def make_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose values are texts, empty where there are none."""
    return pd.DataFrame({name: [_to_text(value) for value in frame[name]] for name in frame.columns}, dtype=str)


def _make_frame(rows: list[list[str]]) -> pd.DataFrame:
    header, *body = rows
    # A name that stands there twice cannot be asked for.
    names = [
        name.strip() if name.strip() and header.count(name) == 1 else f"column {number}"
        for number, name in enumerate(header)
    ]
    return pd.DataFrame(body, columns=names, dtype=str)


def _read_json(file: Path, *, lines: bool) -> Table:
    text, note = read_text(file)
    if lines:
        records = [json.loads(line) for line in text.split("\n") if line.strip()]
    else:
        records = json.loads(text)
        if isinstance(records, dict) and all(isinstance(value, str | int) for value in records.values()):
            records = [{"path": path, "label": label} for path, label in records.items()]
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise ValueError("it holds no list of objects")
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: [_to_text(record.get(name)) for record in records] for name in names}
    return Table(pd.DataFrame(columns, dtype=str), note=note)


def _to_text(value: Any) -> str:
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return ""
    return json.dumps(value, default=str) if isinstance(value, dict | list) else str(value)
