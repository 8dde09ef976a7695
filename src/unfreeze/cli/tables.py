"""The study as tables of a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from unfreeze.figures.formats import NONE, format_percent, mark_baseline
from unfreeze.figures.parts import Cell, Table
from unfreeze.records.finding import Finding
from unfreeze.records.study_report import ReportedRow, ReportedVerdict
from unfreeze.report import tables, text

# Wide enough for every column where the output is not a terminal.
WIDTH = 200


def show_comparison(verdict: ReportedVerdict) -> None:
    """Print the verdict, all backbones' scores and costs, and what their pairs say."""
    console = _open_console()
    console.print(Text(text.summarise(verdict)))
    shown = [tables.tabulate_comparison(verdict), tables.tabulate_costs(verdict)]
    if verdict.pairs:
        shown.append(tables.tabulate_pairs(verdict))
    for table in shown:
        console.print(_draw_table(table))
    console.print(Text(tables.describe_smallest_difference(verdict)))
    console.print(Text(tables.describe_test_evaluations(verdict)))
    _show_findings(console, verdict.findings)


def show_backbone(row: ReportedRow, verdict: ReportedVerdict) -> None:
    """Print all that the verdict tells of one backbone.

    Args:
        row: Its row of the verdict.
        verdict: The study.
    """
    console = _open_console()
    console.print(Text(mark_baseline(row.backbone, verdict), style="bold"))
    of_row = (
        tables.tabulate_settings,
        tables.tabulate_scores,
        tables.tabulate_classes,
        tables.tabulate_confusions,
        tables.tabulate_calibration,
        tables.tabulate_abstention,
        tables.tabulate_unlike_images,
        tables.tabulate_slices,
    )
    for table in [*(tabulate(row) for tabulate in of_row), tables.tabulate_costs(verdict, [row])]:
        if table.rows:
            console.print(_draw_table(table))
    curve = row.learning_curve
    for sentence in filter(
        None, (tables.describe_seeds(row), curve.text if curve else "", tables.describe_sample(row))
    ):
        console.print(Text(sentence))
    _show_findings(console, [found for found in verdict.findings if found.backbone == row.backbone])


def show_mistakes(name: str, mistakes: pd.DataFrame) -> None:
    """Print which images a backbone got wrong with most confidence, and which right with least.

    Args:
        name: The backbone.
        mistakes: One row a picture, as data/mistakes/ holds them.
    """
    rows = [
        [
            row["id"],
            row["kind"],
            row["predicted"],
            row["label"],
            ", ".join(near["label"] for near in row["neighbours"]),
            format_percent(row["probability"]),
        ]
        for row in mistakes.to_dict("records")
    ]
    header = ["image", "kind", "says", "is", "nearest training images are", "probability"]
    _open_console().print(_draw_table(Table(f"Most telling pictures of {name}", header, rows, words=5)))


def show_rows(caption: str, rows: Sequence[Mapping[str, Any]], *, besides: Sequence[str] = ()) -> None:
    """Print rows of any kind, with their keys as the header.

    Args:
        caption: What they are.
        rows: All with the keys of the first.
        besides: Keys that are left out.
    """
    header = [name for name in (rows[0] if rows else {}) if name not in besides]
    lines = [[_write_in_words(row[name]) for name in header] for row in rows]
    _open_console().print(
        _draw_table(Table(caption, header, lines, words=len(header))) if rows else Text(f"{caption}: none")
    )


def _write_in_words(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_write_in_words(of)}" for name, of in value.items())
    return "\n".join(map(_write_in_words, value)) if isinstance(value, list | tuple) else str(value)


def _show_findings(console: Console, findings: Sequence[Finding]) -> None:
    for found in text.sort_findings(findings):
        console.print(
            Text.assemble(
                (f"{found.level} ", "bold"),
                f"{found.backbone or 'study'}: {found.what} Cause: {found.cause} Remedy: {found.remedy}",
            )
        )


def _draw_table(table: Table) -> RichTable:
    # Plain text, since rich takes [red] and :smile: in a string as markup.
    shown = RichTable(title=Text(table.caption), title_justify="left")
    for number, title in enumerate(table.header):
        shown.add_column(Text(title), justify="left" if number < table.words else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(_write_cell, row))
    return shown


def _write_cell(cell: Cell | str) -> Text:
    """Return a cell with its note below, since intervals beside their values make tables too wide."""
    if isinstance(cell, str) or not cell.note:
        return Text(str(cell))
    return Text.assemble(cell.text, (f"\n{cell.note}", "dim"))


def _open_console() -> Console:
    return Console(width=None if Console().is_terminal else WIDTH, highlight=False)
