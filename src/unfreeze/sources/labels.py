"""The index of a data set: each image's path and label, from class folders or from a table."""

import io
import math
import re
from collections.abc import Iterator
from os.path import commonpath
from pathlib import Path, PurePosixPath

import pandas as pd

from unfreeze.errors import UnfreezeError, shorten
from unfreeze.runtime import console
from unfreeze.settings.sources import Column, LabelTable
from unfreeze.sources.archives import find_name_problem
from unfreeze.sources.file_types import get_suffix, is_hidden
from unfreeze.sources.fold_words import find_fold
from unfreeze.sources.inventory import is_usable, require_readable, walk
from unfreeze.sources.messages import require_none, show_examples
from unfreeze.sources.table_files import (
    DELIMITERS,
    LINES,
    PARQUET,
    SPREADSHEETS,
    WHITESPACE,
    make_text,
    read_candidates,
    read_parquet,
    read_text,
    split_rows,
)
from unfreeze.sources.table_paths import clean_path, match_paths

# Columns that a message names, so that a mistyped one is found among them.
COLUMNS_NAMED = 20
# Formats that say themselves what their columns are.
OWN_COLUMNS = (*LINES, ".json", *SPREADSHEETS)


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
    found = {folder: walk(folder).files for folder in folders}
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
    bad = [path for path, _ in rows if not is_usable(path)]
    require_none(bad, name, "files whose names are not UTF-8, or hold `\\` or control characters", "rename them")
    index = pd.DataFrame(rows, columns=["path", "label"])
    twice = index["path"][index["path"].duplicated()].unique()
    require_none(twice, name, "images in more than one class folder", f"narrow data.class_folders {class_folders!r}")
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
    require_readable(root)
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
    base, index["path"] = _find_files(index["path"], table, root)
    paths = index["path"]
    blank = index["label"].str.strip() == ""
    require_none(paths[blank], name, "images without a label", "give each one, or take its row out")
    index["label"] = _name_classes(index, table)
    if table.weight_column is not None:
        index["weight"] = _read_weights(_read_texts(rows, table.weight_column, name), paths, name)
    if table.group_column is not None:
        index["group"] = _read_texts(rows, table.group_column, name).str.strip()
    if table.fold_column is not None:
        index["fold"] = _read_folds(_read_texts(rows, table.fold_column, name), name)
    for column in {"label", "group"} & set(index):
        bad = index.loc[index[column].map(lambda text: any(ord(letter) < 32 for letter in text)), column].unique()
        require_none(bad, name, f"a {column} with control characters", "correct it")
    _tell_unnamed(paths, base, file, name)
    return base, index.sort_values("path", ignore_index=True)


def _list_class_folders(root: Path, pattern: str) -> Iterator[Path]:
    if problem := find_name_problem(pattern):
        raise UnfreezeError(f"data.class_folders {pattern!r} {problem}: give a glob such as '*' or 'photos/*'")
    found = [root]
    # One part after the other: a glob over several would pass over folders that it may not read.
    for part in PurePosixPath(pattern).parts:
        for folder in found:
            require_readable(folder)
        found = [
            child
            for folder in found
            for child in sorted(folder.glob(part))
            if child.is_dir() and not is_hidden(child.name)
        ]
    yield from dict.fromkeys(found)


def _read(file: Path, table: LabelTable) -> pd.DataFrame:
    columns = (table.path_column, table.label_column, table.weight_column, table.group_column, table.fold_column)
    suffix = get_suffix(file.name)
    remedy = "" if suffix in (*PARQUET, *OWN_COLUMNS) else f", or data.labels.delimiter, which is {table.delimiter!r}"
    try:
        if suffix in PARQUET:
            return read_parquet(file)
        if suffix in OWN_COLUMNS:
            return next(read_candidates(file)).rows
        text, note = read_text(file)
        if note:
            console.log.warning("%s %s", table.file, note)
        has_header = any(isinstance(column, str) for column in columns)
        try:
            rows = _read_csv(text, table.delimiter, has_header=has_header)
        except (ValueError, NotImplementedError, re.error) as error:
            raise ValueError(f"{error}{_hint_at_delimiter(text, table)}") from error
    except (ValueError, NotImplementedError, OSError, re.error) as error:
        raise UnfreezeError(f"{table.file} could not be read ({shorten(error)}): correct it{remedy}") from error
    missing = [column for column in columns if isinstance(column, str) and column not in rows.columns]
    numbers = [column for column in columns if isinstance(column, int)]
    if (missing or max(numbers, default=0) >= rows.shape[1]) and (hint := _hint_at_delimiter(text, table)):
        raise UnfreezeError(
            f"{table.file} has no column {missing[0] if missing else max(numbers)!r}, it has "
            f"{show_examples(rows.columns, COLUMNS_NAMED)}{hint}"
        )
    return rows


def _hint_at_delimiter(text: str, table: LabelTable) -> str:
    """Return which delimiter parts the columns that are asked for, if another one does."""
    wanted = {column for column in (table.path_column, table.label_column) if isinstance(column, str)}
    for delimiter in DELIMITERS:
        rows = split_rows(text, delimiter) if delimiter != table.delimiter else []
        if rows and wanted <= {name.strip() for name in rows[0]}:
            return (
                f"; data.labels.delimiter seems to be {delimiter!r}, it is set to {table.delimiter!r}: "
                f"-S 'data.labels.delimiter=\"{delimiter}\"'"
            )
    return ""


def _read_csv(text: str, delimiter: str, *, has_header: bool) -> pd.DataFrame:
    separator = r"\s+" if delimiter == WHITESPACE else delimiter
    rows = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=0 if has_header else None,
        # Texts stay as they are: a class may be called NA or 007.
        dtype=str,
        keep_default_na=False,
        skipinitialspace=True,
        engine="c" if len(separator) == 1 or separator == r"\s+" else "python",
    )
    if not isinstance(rows.index, pd.RangeIndex):
        raise ValueError("its rows have more columns than its header")
    return rows


def _read_texts(rows: pd.DataFrame, column: Column, name: str) -> "pd.Series[str]":
    """Return a column as text, with nothing where a value is missing."""
    if isinstance(column, int) and column < rows.shape[1]:
        values = rows.iloc[:, [column]]
    elif isinstance(column, str) and column in rows.columns:
        values = rows[[column]]
    else:
        raise UnfreezeError(
            f"{name} has no column {column!r}, it has {show_examples(rows.columns, COLUMNS_NAMED)}: "
            "correct data.labels"
        )
    return pd.Series(make_text(values).iloc[:, 0].tolist(), dtype=str)


def _find_files(texts: "pd.Series[str]", table: LabelTable, root: Path) -> tuple[Path, "pd.Series[str]"]:
    """Return the folder that paths are relative to, and the path of each row's file.

    Paths that are files below the table's folder stay as they are; only if some are none, all are completed.
    """
    name, folder = table.file, PurePosixPath(table.file).parent.as_posix()
    folder = "" if folder == "." else folder
    blank = texts.index[texts.str.strip() == ""] + 1
    require_none(blank, name, "rows without a path, by number", "give each a path, or take it out")
    if table.path is not None:
        texts = pd.Series([table.path.replace("{}", text) for text in texts], dtype=str)
    bad = [text for text in texts if find_name_problem(text) in {"leaves the folder", "holds a control character"}]
    require_none(bad, name, "paths that leave its folder or cannot be used", "give paths below its folder")
    usable = not any(find_name_problem(text) for text in texts)
    plain = texts.map(lambda text: PurePosixPath(text).as_posix())
    base = root / folder
    if not usable or not all((base / path).is_file() for path in plain):
        match = match_paths(texts.tolist(), folder, tuple(walk(root).files))
        missing = [text for text, path in zip(texts, match.files, strict=True) if path is None]
        remedy = "correct them, take the rows out, or set data.labels.path, such as 'train/{}.jpg'"
        require_none(missing, name, "paths without a file", remedy)
        if match.others:
            raise UnfreezeError(
                f"{name} has paths that fit files in several folders ({match.template}, {match.others}): set "
                "data.labels.path to one of them"
            )
        found = [str(path) for path in match.files]
        base = base if all(not folder or path.startswith(f"{folder}/") for path in found) else root
        cut = len(folder) + 1 if folder and base != root else 0
        plain = pd.Series([path[cut:] for path in found], dtype=str)
        example = next((pair for pair in zip(texts, plain, strict=True) if clean_path(pair[0]) != pair[1]), None)
        if example is not None:
            console.log.warning("paths in %s were completed: %r is taken for %r", name, *example)
    require_none(plain[plain.duplicated()].unique(), name, "paths that are there twice", "leave one row each")
    return base, plain


def _name_classes(index: pd.DataFrame, table: LabelTable) -> "pd.Series[str]":
    labels = index["label"]
    if table.threshold is not None and table.classes is not None:
        numbers = pd.to_numeric(labels, errors="coerce")
        bad = labels[numbers.isna()].unique()
        require_none(bad, table.file, "labels that are no numbers", "correct them or take out data.labels.threshold")
        below, above = table.classes
        return numbers.gt(table.threshold).map({False: below, True: above})
    if table.label_map is not None:
        unknown = labels[~labels.isin(table.label_map)].unique()
        require_none(
            unknown,
            table.file,
            "labels that data.labels.label_map lacks",
            f"add them to it; it has {show_examples(table.label_map)}",
        )
        return labels.map(table.label_map)
    return labels


def _read_folds(texts: "pd.Series[str]", name: str) -> "pd.Series[str]":
    folds = texts.map(lambda text: find_fold(text) if text else "")
    unknown = texts[folds.isna()].unique()
    require_none(unknown, name, "unknown folds", "use train, val and test, or nothing to have one made")
    return folds


def _read_weights(texts: "pd.Series[str]", paths: "pd.Series[str]", name: str) -> "pd.Series[float]":
    weights = pd.to_numeric(texts, errors="coerce").astype(float)
    bad = ~(weights.gt(0) & weights.lt(math.inf))
    wrong = [f"{path}: {text}" for path, text in zip(paths[bad], texts[bad], strict=True)]
    require_none(wrong, name, "weights that are no numbers above 0", "correct them, or take the rows out")
    return weights


def _tell_unnamed(paths: "pd.Series[str]", base: Path, table: Path, name: str) -> None:
    """Warn of files without a row that look like those with one."""
    suffixes = {get_suffix(path) for path in paths}
    unnamed = set(walk(base).files) - set(paths) - {table.name}
    if alike := sorted(path for path in unnamed if get_suffix(path) in suffixes):
        console.log.warning(
            "%s does not name %d files of its folder, which are left out: %s", name, len(alike), show_examples(alike)
        )
