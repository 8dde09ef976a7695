"""The first sheet of an Excel file as text (ECMA-376, part 1, 18.3)."""

import re
import zipfile
from pathlib import Path

# The parser resolves no external entities, and expat limits how far internal ones grow.
from xml.etree import ElementTree  # noqa: S405

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
# Bytes of one part when unpacked: a million rows take about half of it.
MAX_PART = 500_000_000


def read_first_sheet(file: Path) -> list[list[str]]:
    """Return the rows of the first sheet that holds any; each has the same number of columns.

    Args:
        file: An .xlsx file.

    Raises:
        ValueError: It is none, or has no rows.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            names = set(packed.namelist())
            shared = _read_shared(packed) if "xl/sharedStrings.xml" in names else []
            sheets = sorted(
                (name for name in names if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name)),
                key=lambda name: int(re.sub(r"\D", "", name)),
            )
            for sheet in sheets:
                if rows := _read_rows(_open(packed, sheet), shared):
                    return rows
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, IndexError) as error:
        raise ValueError(f"it is no Excel file ({error}): save it as CSV") from error
    raise ValueError("its sheets are empty")


def _open(packed: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if packed.getinfo(name).file_size > MAX_PART:
        raise ValueError("it is too large for a table of labels: save it as CSV")
    return ElementTree.fromstring(packed.read(name))  # noqa: S314


def _read_shared(packed: zipfile.ZipFile) -> list[str]:
    root = _open(packed, "xl/sharedStrings.xml")
    return ["".join(text.text or "" for text in item.iter(f"{MAIN}t")) for item in root.iter(f"{MAIN}si")]


def _read_rows(root: ElementTree.Element, shared: list[str]) -> list[list[str]]:
    found: list[dict[int, str]] = []
    for row in root.iter(f"{MAIN}row"):
        cells: dict[int, str] = {}
        for place, cell in enumerate(row.iter(f"{MAIN}c")):
            letters = re.sub(r"[^A-Z]", "", cell.get("r", ""))
            column = _number(letters) if letters else place
            cells[column] = _read_cell(cell, shared)
        if any(cells.values()):
            found.append(cells)
    width = max((column + 1 for cells in found for column, text in cells.items() if text), default=0)
    return [[cells.get(column, "") for column in range(width)] for cells in found]


def _read_cell(cell: ElementTree.Element, shared: list[str]) -> str:
    kind, value = cell.get("t"), cell.findtext(f"{MAIN}v") or ""
    if kind == "s":
        return shared[int(value)]
    if kind == "inlineStr":
        return "".join(text.text or "" for text in cell.iter(f"{MAIN}t"))
    if kind == "b":
        return "TRUE" if value == "1" else "FALSE"
    return value


def _number(letters: str) -> int:
    """Return the number of a column from 0, such as 27 for AB."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number - 1
