"""What the tables of a source say of its images."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from unfreeze.errors import UnfreezeError
from unfreeze.sources.file_types import TABLES, get_suffix
from unfreeze.sources.fold_words import find_fold, find_fold_level
from unfreeze.sources.inventory import Listing
from unfreeze.sources.layout import DoesNotFitError
from unfreeze.sources.messages import require_none, show_examples
from unfreeze.sources.table_columns import Columns, find_columns
from unfreeze.sources.table_files import Table, read_candidates
from unfreeze.sources.table_paths import Match, has_image_suffix, match_paths

# Tables of one suffix in one folder: with more they are notes on single images.
MOST_TABLES = 50
# Bytes of a table; a million rows take a tenth.
MOST_BYTES = 2_000_000_000
# Share of a table's rows that must name images before it is taken for one of them.
LEAST_SHARE = 0.5
WITHOUT_IT = "move the table out of the source to do without it"
# What a table's name says where it holds guesses for a contest.
GUESSES = ("submission", "predictions")


@dataclass(frozen=True)
class LabelledTable:
    """A table that gives images their labels.

    Args:
        file: Its path in the source.
        table: Its rows.
        path_column: Column of the image's path.
        match: The file of each row.
        columns: What its other columns mean.
        fold: The fold that the table is called after; None if it is called after none.
    """

    file: str
    table: Table
    path_column: Hashable
    match: Match
    columns: Columns
    fold: str | None

    @property
    def shape(self) -> tuple[object, ...]:
        """What tables of one set have in common."""
        return tuple(self.table.rows.columns)


def list_tables(listing: Listing) -> list[str]:
    """Return the files that may be tables of labels.

    Files that stand beside each image, such as those of boxes, are none.
    """
    stems = {path.rpartition(".")[0] for path in listing.images}
    beside = Counter((str(PurePosixPath(path).parent), get_suffix(path)) for path in listing.others)
    return [
        path
        for path in listing.others
        if get_suffix(path) in TABLES
        and beside[str(PurePosixPath(path).parent), get_suffix(path)] <= MOST_TABLES
        and path.rpartition(".")[0] not in stems
        and not any(word in path.casefold() for word in GUESSES)
    ]


def read_labelled(listing: Listing) -> tuple[list[LabelledTable], list[str]]:
    """Read all tables of a source that name its images.

    Returns:
        Those with labels, and for each other one that names images why it gives no labels.

    Raises:
        UnfreezeError: A table gives labels to files that are not there, gives none to some, or names one twice.
    """
    found: list[LabelledTable] = []
    reasons: list[str] = []
    for file in list_tables(listing):
        try:
            table = read_labelled_table(listing, file)
        except DoesNotFitError as error:
            reasons.append(f"{file}: {error}")
        else:
            if table is not None:
                found.append(table)
    return found, reasons


def read_labelled_table(listing: Listing, file: str) -> LabelledTable | None:
    """Read one table.

    Returns:
        The table; None if it names no images.

    Raises:
        DoesNotFitError: It names images, and gives them no labels that are sure.
        UnfreezeError: Its paths fit several files, are no files or are there twice, or a label is missing.
    """
    fold = find_fold(PurePosixPath(file).stem)
    for table, column, match in list_readings(listing, file, fold):
        if match.others:
            raise UnfreezeError(
                f"{file} has paths that fit files in several folders ({match.template}, {match.others}): set "
                "data.labels with `path` as one of them, or data.class_folders to pass over the table"
            )
        columns = find_columns(table.rows, [column, *_find_twins(table.rows, column, match, listing)])
        _require_usable(file, table.rows[column], match, columns.label)
        return LabelledTable(file, table, column, match, columns, fold)
    return None


def list_readings(listing: Listing, file: str, fold: str | None) -> Iterator[tuple[Table, Hashable, Match]]:
    """Yield the first way to read a file in which a column names images.

    Raises:
        DoesNotFitError: Several columns name images, and not the same.
    """
    path = listing.root / file
    folder = file.rpartition("/")[0]
    try:
        if path.stat().st_size > MOST_BYTES:
            return
        for table in read_candidates(path):
            for version in (table, table.without_header()):
                if version.rows.empty:
                    continue
                matches = dict(_match_columns(version.rows, folder, listing, fold))
                if not matches:
                    continue
                # The header is a row like all others if its path is a file too.
                if version is table and _is_row(table, next(iter(matches)), folder, listing):
                    continue
                column = _choose_path_column(version.rows, matches)
                yield version, column, matches[column]
                return
    except (ValueError, OSError):
        return


def _match_columns(
    rows: pd.DataFrame, folder: str, listing: Listing, fold: str | None
) -> Iterator[tuple[Hashable, Match]]:
    for column in rows.columns:
        texts = rows[column].tolist()
        # Labels stand there more than once, and each image once.
        if len(set(texts)) < LEAST_SHARE * len(texts) or not any(texts):
            continue
        match = match_paths(texts, folder, listing.images, fold)
        files = [path for path in match.files if path is not None]
        if match.found >= LEAST_SHARE * len(texts) and 2 * len(set(files)) > len(files):
            yield column, match


def _is_row(table: Table, column: Hashable, folder: str, listing: Listing) -> bool:
    return match_paths([str(column)], folder, listing.images).found == 1 and has_image_suffix(str(column))


def _choose_path_column(rows: pd.DataFrame, matches: dict[Hashable, Match]) -> Hashable:
    """Return the column that names images best: by whole names rather than by stems, which numbers may be too."""
    if len(matches) > 1:
        # Row numbers, which programs write in front, are no names.
        count = len(rows)
        numbers = [[str(number + first) for number in range(count)] for first in (0, 1)]
        matches = {
            column: match for column, match in matches.items() if rows[column].tolist() not in numbers
        } or matches
    if len(matches) == 1:
        return next(iter(matches))
    whole = {column: rows[column].map(has_image_suffix).mean() for column in matches}
    most = max(whole.values())
    best = [column for column in matches if whole[column] == most]
    most_found = max(matches[column].found for column in best)
    best = [column for column in best if matches[column].found == most_found]
    if len({matches[column].files for column in best}) > 1:
        raise DoesNotFitError(f"several columns name images ({show_examples(best)})")
    return best[0]


def _find_twins(rows: pd.DataFrame, column: Hashable, match: Match, listing: Listing) -> list[Hashable]:
    """Return further columns that name images, such as a number beside the file's name."""
    return [
        other
        for other in rows.columns
        if other != column
        and rows[other].nunique() == len(rows)
        and match_paths(rows[other].tolist(), "", listing.images).found >= LEAST_SHARE * len(rows)
    ]


def _require_usable(file: str, paths: "pd.Series[str]", match: Match, labels: list[str]) -> None:
    missing = [text for text, path in zip(paths, match.files, strict=True) if path is None]
    require_none(missing, file, "paths without a file", f"correct them, take the rows out, or {WITHOUT_IT}")
    twice = [path for path, count in Counter(match.files).items() if count > 1]
    require_none(twice, file, "paths that are there twice", f"leave one row each, or {WITHOUT_IT}")
    blank = [text for text, label in zip(paths, labels, strict=True) if not label.strip()]
    require_none(blank, file, "images without a label", "give each one, or take its row out")
    odd = [label for label in dict.fromkeys(labels) if any(ord(letter) < 32 for letter in label)]
    require_none(odd, file, "a label with control characters", "correct it")


def join_folds(tables: list[LabelledTable]) -> tuple[dict[str, str], str]:
    """Return each image's fold, and what gives it: a column, the tables' names, or folders; empty if nothing does.

    Raises:
        DoesNotFitError: Only some folders are called after folds.
        UnfreezeError: Two of these give an image different folds.
    """
    sources: dict[str, dict[str, str]] = defaultdict(dict)
    for table in tables:
        for number, path in enumerate(table.match.files):
            assert path is not None
            if table.columns.fold is not None:
                sources[f"the column {table.columns.fold_column!r}"][path] = table.columns.fold[number]
            if all(other.fold for other in tables):
                sources["the tables' names"][path] = table.fold or ""
    paths = [path for table in tables for path in table.match.files if path is not None]
    folders = {path: tuple(path.split("/")[:-1]) for path in paths}
    found = find_fold_level(set(folders.values()))
    if found.problem and not sources:
        raise DoesNotFitError(found.problem)
    if found.level is not None:
        sources["folders"] = {path: find_fold(folder[found.level]) or "" for path, folder in folders.items()}
    sources = {name: folds for name, folds in sources.items() if len({*folds.values()} - {""}) > 1}
    for name, folds in sources.items():
        for other, others in sources.items():
            for path in folds.keys() & others.keys():
                if folds[path] and others[path] and folds[path] != others[path]:
                    raise UnfreezeError(
                        f"{path!r} is in fold {folds[path]} by {name} and in fold {others[path]} by {other}: "
                        "let them agree"
                    )
    if not sources:
        return {}, ""
    name = next(iter(sources))
    return {path: sources[name].get(path, "") for path in paths}, name
