"""One or more tables of paths and labels, beside the images or in another folder of the source."""

from collections import defaultdict
from typing import Any

import pandas as pd

from unfreeze.sources.comparison import choose
from unfreeze.sources.inventory import Listing
from unfreeze.sources.labelled_tables import LabelledTable, join_folds, read_labelled
from unfreeze.sources.layout import DoesNotFitError, Layout, Reading, register


def read(listing: Listing) -> Layout | None:
    """Take labels from tables; those of the same columns are parts of one.

    Raises:
        DoesNotFitError: No table gives labels that are sure.
        UnfreezeError: Tables differ, or have rows that cannot be used.
    """
    tables, reasons = read_labelled(listing)
    if not tables:
        if reasons:
            raise DoesNotFitError("; ".join(reasons[:2]))
        return None
    sets: dict[tuple[object, ...], list[LabelledTable]] = defaultdict(list)
    for table in tables:
        sets[table.shape].append(table)
    layouts = [layout for of_one in sets.values() for layout in _join(of_one, listing)]
    return choose(layouts, listing.name)


def _join(tables: list[LabelledTable], listing: Listing) -> list[Layout]:
    """Return one layout of tables that name different images, or one of each if they name the same."""
    paths = [path for table in tables for path in table.match.files]
    if len(set(paths)) < len(paths):
        return [_make_layout([table], listing) for table in tables]
    return [_make_layout(tables, listing)]


def _make_layout(tables: list[LabelledTable], listing: Listing) -> Layout:
    folds, given_by = join_folds(tables)
    rows: dict[str, list[str]] = defaultdict(list)
    for table in tables:
        paths = [str(path) for path in table.match.files]
        rows["path"] += paths
        rows["label"] += table.columns.label
        rows["group"] += table.columns.group or [""] * len(paths)
    index = pd.DataFrame(rows, dtype=str)
    if not any(rows["group"]):
        index = index.drop(columns="group")
    if folds:
        index["fold"] = [folds[path] for path in rows["path"]]
    base = tables[0].file.rpartition("/")[0]
    if len(tables) > 1 or not all(path.startswith(f"{base}/") for path in rows["path"]):
        base = ""
    index["path"] = [path[len(base) + 1 :] if base else path for path in rows["path"]]
    notes = tuple(f"{table.file} {table.table.note}" for table in tables if table.table.note)
    return Layout(
        "table",
        _explain(tables, given_by),
        base,
        index.sort_values("path", ignore_index=True),
        _make_settings(tables),
        {"is the table of labels": tuple(table.file for table in tables)},
        notes + tuple(note for table in tables for note in _describe_paths(table)),
        rank=2 if all(table.columns.is_named for table in tables) else 1,
    )


def _explain(tables: list[LabelledTable], given_by: str) -> str:
    first = tables[0]
    names = ", ".join(table.file for table in tables[:3]) + (", ..." if len(tables) > 3 else "")
    label = first.columns.label_column
    parts = [
        f"the table{'s' if len(tables) > 1 else ''} {names} with paths in {_name(first.path_column)}",
        "one column a class" if label is None else f"labels in {_name(label)}",
    ]
    if first.columns.group_column is not None:
        parts.append(f"groups in {_name(first.columns.group_column)}")
    verb = "give" if given_by.endswith("s") else "gives"
    return ", ".join(parts) + (f"; {given_by} {verb} the folds" if given_by else "")


def _name(column: object) -> str:
    return f"column {column}" if isinstance(column, int) else f"column {column!r}"


def _make_settings(tables: list[LabelledTable]) -> dict[str, Any]:
    """Return the settings that name a table and its columns; none for several, or where each class has a column."""
    table = tables[0]
    if len(tables) > 1 or table.columns.label_column is None:
        return {}
    settings: dict[str, Any] = {"file": table.file, "path_column": table.path_column}
    if table.table.delimiter:
        settings["delimiter"] = table.table.delimiter
    for name in ("label", "fold", "group"):
        column = getattr(table.columns, f"{name}_column")
        if column is not None:
            settings[f"{name}_column"] = column
    return {"data.labels": settings}


def _describe_paths(table: LabelledTable) -> list[str]:
    notes = []
    if table.match.template != "{}":
        notes.append(f"paths in {table.file} were completed to {table.match.template}")
    if table.match.dropped:
        notes.append(f"the first {table.match.dropped} folders of paths in {table.file} are none of the source")
    return notes


register(Reading("table", read))
