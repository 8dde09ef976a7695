"""What charts and tables consist of before they are written as HTML, Markdown, PNG or lines of a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A value with a note, such as its interval.

    >>> str(Cell("96.4 %", "95.0 to 97.6"))
    '96.4 % (95.0 to 97.6)'
    """

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
        rows: Cells, as many in each row as there are titles.
        words: Number of columns, from the left, that hold words; the others hold numbers.

    >>> Table("Scores", ["backbone", "accuracy"], [["vgg16", Cell("93.0 %", "91.0 to 94.6")]]).rows[0][1].text
    '93.0 %'
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    words: int = 1


@dataclass(frozen=True)
class Chart:
    """A chart, and the same numbers as a table.

    Args:
        title: Its heading.
        description: What it shows, in a sentence, for readers who do not see it.
        spec: Vega-Lite without addresses of other hosts, as `vega.build_spec` returns it.
        table: The chart's numbers.
        notes: How to read it.
        least_width: Width in pixels below which it cannot be read and its box scrolls.
        width: Width of the plot in a PNG, pixels; on the page it takes the width of its box.

    >>> chart = Chart("Scores", "Accuracy of two backbones.", {"mark": "bar"}, Table("Scores", ["backbone"], []))
    >>> chart.width
    360
    """

    title: str
    description: str
    spec: dict[str, Any]
    table: Table
    notes: Sequence[str] = ()
    least_width: int = 0
    width: int = 360
