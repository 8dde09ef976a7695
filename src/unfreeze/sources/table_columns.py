"""Which column of a table holds the label, the fold and the group."""

import re
from collections.abc import Hashable
from dataclasses import dataclass

import pandas as pd

from unfreeze.sources.fold_words import find_fold
from unfreeze.sources.layout import DoesNotFitError
from unfreeze.sources.messages import show_examples

LABEL = re.compile(
    r"(image_?)?(label|labels|class|classes|class_?name|class_?label|label_?name|category|category_?name|target|"
    r"species|breed|diagnosis|dx|y|etiqueta|clase|categoria|klasse|kategorie|etiquette|classe|categorie|rotulo)"
)
NUMBER = re.compile(r"(image_?)?(class|label|category|target)_?(id|idx|index|no|num|number|code)")
FOLD = re.compile(r"split|fold|subset|set|partition|phase|usage|dataset|data_?set|data_?split|train_?test|stage")
GROUP = re.compile(
    r"(patient|subject|person|group|lesion|animal|individual|case|participant)(_?(id|no|number|name))?"
)
# What tables say of images beside their class.
OTHER = re.compile(
    r".*(width|height|size|width|bytes|camera|date|time|source|url|uri|author|licen[cs]e|age|sex|gender|patient|caption"
    r"|text|description|comment|note|hash|md5|sha\d*|xmin|xmax|ymin|ymax|bbox|roi|x1|x2|y1|y2|lat|lon|id|index|name"
    r"|file|path|mode|format|depth|channels|quality|score|confidence|weight|device|site|hospital|location|view|angle)"
    r"([_. ].*)?"
)
# More different numbers are a measurement, not classes.
MOST_NUMBERS = 100
YES, NO = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false", ""})


@dataclass(frozen=True)
class Columns:
    """What the columns of a table mean.

    Args:
        label: Label of each row.
        label_column: Column that gives it; None if each class has one.
        fold: Fold of each row, empty where there is none; None without such a column.
        fold_column: Column that gives it.
        group: What each row must stay together with; None without such a column.
        group_column: Column that gives it.
        is_named: Whether the label's column is called so, or each class has a column.
    """

    label: list[str]
    label_column: Hashable | None
    fold: list[str] | None
    fold_column: Hashable | None
    group: list[str] | None
    group_column: Hashable | None
    is_named: bool


def find_columns(rows: pd.DataFrame, path_columns: list[Hashable]) -> Columns:
    """Find the label, the fold and the group of each row.

    Args:
        rows: The table as text.
        path_columns: Columns that name the image.

    Raises:
        DoesNotFitError: No column, or more than one, may be the label; the message names them.
    """
    rest: list[Hashable] = [column for column in rows.columns if column not in path_columns]
    fold_column = find_fold_column(rows, rest)
    rest = [column for column in rest if column != fold_column]
    group_column = next((column for column in rest if GROUP.fullmatch(_plain(column))), None)
    with_group = rest
    rest = [column for column in rest if column != group_column]
    try:
        label_column, label = _find_label(rows, rest)
    except DoesNotFitError:
        if group_column is None or len(with_group) > 1 or not _plain(group_column).startswith("group"):
            raise
        # `path,group`: there the group is the class.
        label_column, label = _find_label(rows, with_group, trusted=group_column)
        group_column = None
    folds = None
    if fold_column is not None:
        folds = [find_fold(text) or "" for text in rows[fold_column]]
    return Columns(
        label,
        label_column,
        folds,
        fold_column,
        None if group_column is None else rows[group_column].str.strip().tolist(),
        group_column,
        label_column is None or LABEL.fullmatch(_plain(label_column)) is not None,
    )


def _plain(column: Hashable) -> str:
    return re.sub(r"[\s\-]+", "_", str(column).strip().casefold())


def find_fold_column(rows: pd.DataFrame, columns: list[Hashable]) -> Hashable | None:
    """Return the column whose values are folds.

    Args:
        rows: The table as text.
        columns: Those that may be it.

    Raises:
        DoesNotFitError: There are several.
    """
    found = []
    for column in columns:
        values = set(rows[column].str.strip().unique())
        folds = {find_fold(value) for value in values if value}
        if folds and None not in folds and (len(folds) > 1 or FOLD.fullmatch(_plain(column))):
            found.append(column)
    if len(found) > 1:
        raise DoesNotFitError(f"several columns give folds ({show_examples(found)})")
    return found[0] if found else None


def _find_label(
    rows: pd.DataFrame, columns: list[Hashable], trusted: Hashable | None = None
) -> tuple[Hashable | None, list[str]]:
    named = [column for column in columns if column == trusted or LABEL.fullmatch(_plain(column))]
    numbers = [column for column in columns if NUMBER.fullmatch(_plain(column))]
    one_hot = _read_one_hot(rows, [column for column in columns if column not in {*named, *numbers}])
    candidates = named or numbers
    if not candidates and one_hot is not None:
        unclear = [column for column in columns if not _is_binary(rows[column]) and not _is_other(column)]
        if unclear:
            raise DoesNotFitError(f"either {show_examples(unclear)} or the columns of zeros and ones are the label")
        return None, one_hot
    if not candidates:
        candidates = [column for column in columns if _may_be_label(rows[column], column)]
        unnamed = [column for column in columns if not _is_other(column)]
        if len(candidates) != 1 or candidates != unnamed:
            there = show_examples(columns) or "there is only the path"
            raise DoesNotFitError(f"no column is surely the label ({there})")
    if len({tuple(pd.factorize(rows[column])[0]) for column in candidates}) > 1:
        raise DoesNotFitError(f"several columns may be the label ({show_examples(candidates)})")
    # The same classes as words and as numbers: words say more.
    candidates.sort(key=lambda column: rows[column].str.fullmatch(r"-?\d+").all())
    label = rows[candidates[0]].tolist()
    if one_hot is not None and len(set(zip(label, one_hot, strict=True))) != max(len(set(label)), len(set(one_hot))):
        raise DoesNotFitError(f"the column {candidates[0]!r} and one column a class give different labels")
    return candidates[0], label


def _may_be_label(values: "pd.Series[str]", column: Hashable) -> bool:
    """Tell whether values may be classes: several, each of them more than once on average, and no measurement."""
    if _is_other(column):
        return False
    different = values.nunique()
    is_number = values.str.fullmatch(r"-?\d+(\.\d+)?").all()
    return different >= 2 and 2 * different <= len(values) and not (is_number and different > MOST_NUMBERS)


def _read_one_hot(rows: pd.DataFrame, columns: list[Hashable]) -> list[str] | None:
    """Return the class of each row where each class has a column of zeros and ones; None if that is not so.

    Raises:
        DoesNotFitError: Some rows have several classes, or none.
    """
    binary = [column for column in columns if _is_binary(rows[column])]
    if len(binary) < 2:
        return None
    marks = pd.DataFrame({column: rows[column].str.strip().str.lower().isin(YES) for column in binary})
    per_row = marks.sum(axis=1)
    if (per_row != 1).any():
        raise DoesNotFitError(
            f"the columns of zeros and ones ({show_examples(binary)}) give {int((per_row != 1).sum())} rows no "
            "class, or several: one is expected"
        )
    return [str(column) for column in marks.idxmax(axis=1)]


def _is_binary(values: "pd.Series[str]") -> bool:
    return set(values.str.strip().str.lower().unique()) <= YES | NO


def _is_other(column: Hashable) -> bool:
    return not isinstance(column, int) and OTHER.fullmatch(_plain(column)) is not None
