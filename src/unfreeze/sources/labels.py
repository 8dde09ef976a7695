"""The index of a data set: each image's path and label, from class folders or from a table."""

import math
import os
import re
from collections.abc import Collection, Iterable, Iterator
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import NoReturn

import pandas as pd

from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.settings.sources import Column, LabelTable
from unfreeze.sources.archives import find_name_problem

# What file managers leave behind; every other file in a class folder is taken for an image.
NOT_IMAGES = {"thumbs.db", "desktop.ini"}
# As the values of a fold column are written in the field, and as they are written here.
FOLDS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# Examples in a message, and characters of each: with more it is no longer read.
EXAMPLES = 3
EXAMPLE_LENGTH = 100
# Columns that a message names, so that a mistyped one is found among them.
COLUMNS_NAMED = 20


def index_class_folders(root: Path, class_folders: str, *, name: str) -> tuple[Path, pd.DataFrame]:
    """List the images of a folder that holds one folder a class, named after it.

    Class folders of one name are one class. Hidden files, and what file managers leave, are no images.

    Args:
        root: The folder.
        class_folders: Glob of the class folders below it.
        name: How messages call the folder.

    Returns:
        The folder that paths are relative to, and one row an image, sorted: `path` and `label`.

    Raises:
        UnfreezeError: There is no image, a folder cannot be read, or a file's name cannot be used.
    """
    folders = list(_list_class_folders(root, class_folders))
    found = {folder: list(_list_files_below(folder)) for folder in folders}
    if not any(found.values()):
        raise UnfreezeError(
            f"data.source {name} is empty: expected one folder a class with images in it "
            f"(class folders are {class_folders!r}, found {len(folders)})"
        )
    if empty := [folder.name for folder in folders if not found[folder]]:
        console.log.warning("%s has class folders without images, which are left out: %s", name, show_examples(empty))
    base = Path(commonpath([folder.parent for folder in folders]))
    rows = sorted(
        ((folder.relative_to(base) / file).as_posix(), folder.name) for folder in folders for file in found[folder]
    )
    # Before pandas sees them: it takes only what UTF-8 can write.
    bad = [path for path, _ in rows if find_name_problem(path)]
    _require_none(bad, name, "files whose names are not UTF-8, or hold `\\` or control characters", "rename them")
    index = pd.DataFrame(rows, columns=["path", "label"])
    twice = index["path"][index["path"].duplicated()].unique()
    _require_none(twice, name, "images in more than one class folder", f"narrow data.class_folders {class_folders!r}")
    return base, index


def index_table(root: Path, table: LabelTable) -> tuple[Path, pd.DataFrame]:
    """List the images that a table names.

    Args:
        root: The folder that holds the table.
        table: Which file it is and how it is read.

    Returns:
        The table's folder, which paths are relative to, and one row an image, sorted: `path`, `label` and, where the
        table has them, `weight`, `group` and `fold` (train, val or test); the last two are empty where they are so.

    Raises:
        UnfreezeError: The table is missing or cannot be read, lacks a column, or has rows that cannot be used.
    """
    _require_readable(root)
    file = root / table.file
    if find_name_problem(table.file) or not file.is_file():
        raise UnfreezeError(
            f"the source holds no {table.file!r}: correct data.labels.file, a path inside the source, which holds "
            f"{show_examples(sorted(path.name for path in root.iterdir()))}"
        )
    name, rows = table.file, _read(file, table)
    index = pd.DataFrame(
        {"path": _read_texts(rows, table.path_column, name), "label": _read_texts(rows, table.label_column, name)}
    )
    if index.empty:
        raise UnfreezeError(f"{name} has no rows: give one an image")
    index["path"] = _check_paths(index["path"], name)
    paths = index["path"]
    blank = index["label"].str.strip() == ""
    _require_none(paths[blank], name, "images without a label", "give each one, or take its row out")
    index["label"] = _name_classes(index, table)
    if table.weight_column is not None:
        index["weight"] = _read_weights(_read_texts(rows, table.weight_column, name), paths, name)
    if table.group_column is not None:
        index["group"] = _read_texts(rows, table.group_column, name).str.strip()
    if table.fold_column is not None:
        index["fold"] = _read_folds(_read_texts(rows, table.fold_column, name), name)
    for column in {"label", "group"} & set(index):
        bad = index.loc[index[column].map(lambda text: any(ord(letter) < 32 for letter in text)), column].unique()
        _require_none(bad, name, f"a {column} with control characters", "correct it")
    _compare_with_files(paths, file, name)
    return file.parent, index.sort_values("path", ignore_index=True)


def show_examples(values: Iterable[object], most: int = EXAMPLES) -> str:
    """Return the first few values for a message, and how many more there are; unprintable ones are escaped.

    >>> show_examples(["cat", "dog", "cow", "hen"], most=2)
    "'cat', 'dog' and 2 more"
    """
    items = list(values)
    shown = ", ".join(f"{str(value)!r:.{EXAMPLE_LENGTH}}" for value in items[:most])
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def _list_class_folders(root: Path, pattern: str) -> Iterator[Path]:
    if problem := find_name_problem(pattern):
        raise UnfreezeError(f"data.class_folders {pattern!r} {problem}: give a glob such as '*' or 'photos/*'")
    found = [root]
    # One part after the other: a glob over several would pass over folders that it may not read.
    for part in PurePosixPath(pattern).parts:
        for folder in found:
            _require_readable(folder)
        found = [
            child
            for folder in found
            for child in sorted(folder.glob(part))
            if child.is_dir() and not _is_hidden(child.name)
        ]
    yield from dict.fromkeys(found)


def _list_files_below(folder: Path) -> Iterator[str]:
    """Yield the path of each file that may be an image, relative to a folder."""
    for parent, folders, names in os.walk(folder, onerror=_refuse_unreadable):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118 (a Path a file costs seconds on large sets)
            if not _is_hidden(name) and name.lower() not in NOT_IMAGES and os.path.isfile(path):  # noqa: PTH113
                yield os.path.relpath(path, folder)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _require_readable(folder: Path) -> None:
    try:
        os.scandir(folder).close()
    except OSError as error:
        _refuse_unreadable(error)


def _refuse_unreadable(error: OSError) -> NoReturn:
    raise UnfreezeError(
        f"the folder {str(error.filename)!r} could not be read ({error.strerror}): make it readable "
        "(`chmod u+rx`) or move it out of data.source"
    ) from error


def _read(file: Path, table: LabelTable) -> pd.DataFrame:
    columns = (table.path_column, table.label_column, table.weight_column, table.group_column, table.fold_column)
    try:
        if file.suffix.lower() == ".parquet":
            return _read_parquet(file)
        return _read_csv(file, table.delimiter, has_header=any(isinstance(column, str) for column in columns))
    except UnicodeDecodeError as error:
        raise UnfreezeError(
            f"{table.file} is not UTF-8 (byte {error.object[error.start]:#x}): save it as UTF-8"
        ) from error
    except (ValueError, NotImplementedError, OSError, re.error) as error:
        raise UnfreezeError(
            f"{table.file} could not be read ({' '.join(str(error).split())[:200]}): correct it, or "
            f"data.labels.delimiter, which is {table.delimiter!r}"
        ) from error


def _read_csv(file: Path, delimiter: str, *, has_header: bool) -> pd.DataFrame:
    separator = r"\s+" if delimiter == "whitespace" else delimiter
    rows = pd.read_csv(
        file,
        sep=separator,
        header=0 if has_header else None,
        # A byte order mark, which spreadsheets write, is no part of the first column's name.
        encoding="utf-8-sig",
        # Texts stay as they are: a class may be called NA or 007.
        dtype=str,
        keep_default_na=False,
        skipinitialspace=True,
        engine="c" if len(separator) == 1 or separator == r"\s+" else "python",
    )
    if not isinstance(rows.index, pd.RangeIndex):
        raise ValueError("its rows have more columns than its header")
    return rows


def _read_parquet(file: Path) -> pd.DataFrame:
    import pyarrow.parquet

    # Without what pandas noted on an index, which would take columns away; whole numbers with gaps stay whole.
    rows: pd.DataFrame = (
        pyarrow.parquet.read_table(file).replace_schema_metadata().to_pandas(types_mapper=pd.ArrowDtype)
    )
    return rows


def _read_texts(rows: pd.DataFrame, column: Column, name: str) -> "pd.Series[str]":
    """Return a column as text, with nothing where a value is missing."""
    if isinstance(column, int) and column < rows.shape[1]:
        values = rows.iloc[:, column]
    elif isinstance(column, str) and column in rows.columns:
        values = rows[column]
    else:
        raise UnfreezeError(
            f"{name} has no column {column!r}, it has {show_examples(rows.columns, COLUMNS_NAMED)}: "
            "correct data.labels"
        )
    return pd.Series(
        ["" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value) for value in values], dtype=str
    )


def _check_paths(paths: "pd.Series[str]", name: str) -> "pd.Series[str]":
    blank = paths.index[paths.str.strip() == ""] + 1
    _require_none(blank, name, "rows without a path, by number", "give each a path, or take it out")
    bad = [path for path in paths if find_name_problem(path)]
    _require_none(
        bad, name, "paths that leave its folder or cannot be used", "give paths below its folder, parted by `/`"
    )
    plain = paths.map(lambda path: PurePosixPath(path).as_posix())
    _require_none(plain[plain.duplicated()].unique(), name, "paths that are there twice", "leave one row each")
    return plain


def _name_classes(index: pd.DataFrame, table: LabelTable) -> "pd.Series[str]":
    labels = index["label"]
    if table.threshold is not None and table.classes is not None:
        numbers = pd.to_numeric(labels, errors="coerce")
        bad = labels[numbers.isna()].unique()
        _require_none(bad, table.file, "labels that are no numbers", "correct them or take out data.labels.threshold")
        below, above = table.classes
        return numbers.gt(table.threshold).map({False: below, True: above})
    if table.label_map is not None:
        unknown = labels[~labels.isin(table.label_map)].unique()
        _require_none(
            unknown,
            table.file,
            "labels that data.labels.label_map lacks",
            f"add them to it; it has {show_examples(table.label_map)}",
        )
        return labels.map(table.label_map)
    return labels


def _read_folds(texts: "pd.Series[str]", name: str) -> "pd.Series[str]":
    unknown = texts[~texts.isin({*FOLDS, ""})]
    _require_none(unknown.unique(), name, "unknown folds", "use train, val and test, or nothing to have one made")
    return texts.map({**FOLDS, "": ""})


def _read_weights(texts: "pd.Series[str]", paths: "pd.Series[str]", name: str) -> "pd.Series[float]":
    weights = pd.to_numeric(texts, errors="coerce").astype(float)
    bad = ~(weights.gt(0) & weights.lt(math.inf))
    wrong = [f"{path}: {text}" for path, text in zip(paths[bad], texts[bad], strict=True)]
    _require_none(wrong, name, "weights that are no numbers above 0", "correct them, or take the rows out")
    return weights


def _compare_with_files(paths: "pd.Series[str]", table: Path, name: str) -> None:
    """Refuse rows without a file, and warn of files without a row that look like those with one."""
    there, named = set(_list_files_below(table.parent)), set(paths)
    # What the walk passes over, such as hidden files and linked folders, may be named all the same.
    missing = sorted(path for path in named - there if not (table.parent / path).is_file())
    _require_none(missing, name, "paths without a file", "correct them, or take the rows out")
    suffixes = {PurePosixPath(path).suffix.lower() for path in named}
    unnamed = sorted(path for path in there - named - {table.name} if PurePosixPath(path).suffix.lower() in suffixes)
    if unnamed:
        console.log.warning(
            "%s does not name %d files of its folder, which are left out: %s",
            name,
            len(unnamed),
            show_examples(unnamed),
        )


def _require_none(wrong: Collection[object], name: str, problem: str, remedy: str) -> None:
    if len(wrong):
        raise UnfreezeError(f"{name} has {problem} ({len(wrong)}): {show_examples(wrong)}: {remedy}")
