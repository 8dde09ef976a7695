"""Folds in tables that say nothing else of images, such as split.csv, or train.txt and test.txt."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from unfreeze.errors import UnfreezeError
from unfreeze.sources.fold_words import find_fold
from unfreeze.sources.inventory import Listing
from unfreeze.sources.labelled_tables import LEAST_SHARE, list_readings, list_tables
from unfreeze.sources.layout import DoesNotFitError, Layout
from unfreeze.sources.messages import require_none, show_examples
from unfreeze.sources.table_columns import find_columns, find_fold_column
from unfreeze.sources.table_files import read_text
from unfreeze.sources.table_paths import Match, match_paths


@dataclass(frozen=True)
class ListedFolds:
    """Folds by image.

    Args:
        folds: Fold of each image that a table names, by its path from the source's own folder.
        files: The tables.
    """

    folds: dict[str, str]
    files: list[str]


def add_listed_folds(layout: Layout, listing: Listing) -> Layout:
    """Give images the folds that tables list; a layout that has folds already must agree with them.

    Args:
        layout: How the source was read.
        listing: The files.

    Raises:
        UnfreezeError: An image is in two folds, or a list names files that are not there.
    """
    # What is taken out of the source already, such as the table of labels, lists no folds of its own.
    used = {path for paths in layout.left_out.values() for path in paths}
    listed = read_listed_folds(replace(listing, others=tuple(path for path in listing.others if path not in used)))
    if not listed.files or layout.unpack is not None:
        return layout
    paths = layout.paths
    given = layout.index["fold"].tolist() if "fold" in layout.index else [""] * len(paths)
    # Lists of test and validation images alone leave the others for training.
    rest = "" if "train" in {*listed.folds.values(), *given} else "train"
    folds = [fold or listed.folds.get(path) or rest for path, fold in zip(paths, given, strict=True)]
    differing = [path for path, fold in zip(paths, folds, strict=True) if listed.folds.get(path, fold) != fold]
    require_none(differing, ", ".join(listed.files), "images in another fold than the source gives", "let them agree")
    without = [path for path, fold in zip(paths, folds, strict=True) if not fold]
    note = f"no table lists a fold for {len(without)} images: {show_examples(without)}"
    index = layout.index.assign(fold=folds)
    return replace(
        layout,
        index=index,
        explanation=f"{layout.explanation}; {', '.join(listed.files)} list the folds"
        + (", all other images are for training" if rest else ""),
        left_out={**layout.left_out, "lists the folds": tuple(listed.files)},
        notes=(*layout.notes, *([note] if without else [])),
    )


def read_listed_folds(listing: Listing) -> ListedFolds:
    """Return the folds that tables list which give no labels; none if they list training images alone.

    Args:
        listing: The files.

    Raises:
        UnfreezeError: An image is in two folds, or a list names files that are not there.
    """
    folds: dict[str, str] = {}
    files = []
    for file in list_tables(listing):
        found = _read_folds(listing, file)
        for path, fold in found:
            if folds.setdefault(path, fold) != fold:
                raise UnfreezeError(
                    f"{path!r} is in two folds, {folds[path]} and {fold} by {file}: let one list have it"
                )
        files += [file] if found else []
    return ListedFolds(folds, files) if {*folds.values()} - {"", "train"} else ListedFolds({}, [])


def _read_folds(listing: Listing, file: str) -> list[tuple[str, str]]:
    of_file = find_fold(PurePosixPath(file).stem)
    try:
        for table, column, match in list_readings(listing, file, of_file):
            others: list[Hashable] = [name for name in table.rows.columns if name != column]
            try:
                find_columns(table.rows, [column])
            except DoesNotFitError:
                by_column = find_fold_column(table.rows, others)
                if by_column is not None:
                    given = [find_fold(text) or "" for text in table.rows[by_column]]
                    return list(_pair(file, match, table.rows[column].tolist(), given))
                return (
                    list(_pair(file, match, table.rows[column].tolist(), [of_file] * len(table.rows)))
                    if of_file
                    else []
                )
            return []
    except DoesNotFitError:
        return []
    return _read_list(listing, file, of_file) if of_file else []


def _read_list(listing: Listing, file: str, fold: str) -> list[tuple[str, str]]:
    """Return the folds of a file that holds nothing but one path a line."""
    try:
        text, _ = read_text(listing.root / file)
    except (OSError, ValueError):
        return []
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not lines:
        return []
    match = match_paths(lines, file.rpartition("/")[0], listing.images, fold)
    # A header names no file.
    if match.found < LEAST_SHARE * len(lines):
        return []
    if match.files[0] is None:
        lines, match = lines[1:], replace(match, files=match.files[1:])
    return list(_pair(file, match, lines, [fold] * len(lines)))


def _pair(file: str, match: Match, texts: list[str], folds: list[str]) -> Iterator[tuple[str, str]]:
    missing = [text for text, path in zip(texts, match.files, strict=True) if path is None]
    require_none(missing, file, "paths without a file", "correct them, or take the lines out")
    for path, fold in zip(match.files, folds, strict=True):
        yield str(path), fold
