"""Tables and charts before they are written as HTML, Markdown or lines of a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A value with a note, such as its interval."""

    text: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.text} ({self.note})" if self.note else self.text


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row.

    Args:
        caption: What it shows.
        header: Titles of the columns.
        rows: Cells, as many a row as there are titles.
        words: How many columns from the left hold words; the others hold numbers.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    words: int = 1


@dataclass(frozen=True)
class Chart:
    """A chart with the same numbers as a table.

    Args:
        title: Its heading.
        told: What it shows, in a sentence for those who do not see it.
        spec: Vega-Lite, without addresses of other hosts.
        table: Its numbers.
        notes: What a reader has to know to read it.
        least_width: Pixels below which it cannot be read and its box scrolls.
    """

    title: str
    told: str
    spec: dict[str, Any]
    table: Table
    notes: Sequence[str] = ()
    least_width: int = 0
