"""Classes and folds in the names of folders: what both readings of class folders share."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from unfreeze.sources.fold_words import find_fold, find_fold_level
from unfreeze.sources.inventory import Listing
from unfreeze.sources.layout import DoesNotFitError, Layout, make_index

# Folders that part one class by how or when it was recorded, and are no classes.
BATCH = re.compile(
    r"(batch|part|session|take|seq|sequence|day|run|roll|burst|visit|patient|subject|person|camera|cam|site)"
    r"[ _-]?\d+",
    re.IGNORECASE,
)
# Folders of images that are no class in any set that is known, in lower case.
NOT_OF_CLASSES = (
    "unsorted unlabeled unlabelled docs doc thumbnails thumbs previews masks annotations assets figures figs icons "
    "screenshots examples samples backup backups tmp temp trash deleted duplicates unused ignored"
)
NO_CLASSES = frozenset(NOT_OF_CLASSES.split())
Folder = tuple[str, ...]


@dataclass(frozen=True)
class Tree:
    """The images of a source by folder, below the folder that all of them are in.

    Args:
        prefix: That folder's parts.
        folders: Images of each folder that holds some directly, by the folder's parts below `prefix`.
        loose: Images that stand beside the folders.
    """

    prefix: Folder
    folders: dict[Folder, list[str]]
    loose: list[str]


def grow_tree(images: tuple[str, ...]) -> Tree:
    """Part images by folder; a folder that holds all others is passed through.

    Args:
        images: Paths with `/`.
    """
    by_name: dict[str, list[str]] = defaultdict(list)
    for path in images:
        by_name[path.rpartition("/")[0]].append(path)
    folders = {tuple(name.split("/")) if name else (): found for name, found in by_name.items()}
    prefix: Folder = ()
    loose: list[str] = []
    while True:
        depth = len(prefix)
        direct = folders.get(prefix, [])
        children = {folder[depth] for folder in folders if len(folder) > depth}
        if len(children) != 1:
            break
        inside = [folder for folder in folders if len(folder) > depth]
        # A folder of images with one more in it: no class folders.
        if direct and not any(len(folder) > depth + 1 for folder in inside):
            break
        loose += direct
        prefix = (*prefix, children.pop())
    below = {folder[depth:]: found for folder, found in folders.items() if len(folder) > depth}
    return Tree(prefix, below, loose + (direct if below else []))


@dataclass(frozen=True)
class Split:
    """The folders of a tree without those that are called after folds.

    Args:
        fold: Fold of each folder of the tree; empty without folds.
        rest: The parts of each folder that are left.
    """

    fold: dict[Folder, str]
    rest: dict[Folder, Folder]


def take_out_folds(tree: Tree) -> Split:
    """Find the folds in folder names.

    Raises:
        DoesNotFitError: Some folders are called after folds, and it cannot be told which of them are.
    """
    found = find_fold_level(tree.folders)
    if found.problem:
        raise DoesNotFitError(found.problem)
    if found.level is None:
        return Split(dict.fromkeys(tree.folders, ""), {folder: folder for folder in tree.folders})
    taken = {found.level, *found.again}
    return Split(
        {folder: find_fold(folder[found.level]) or "" for folder in tree.folders},
        {folder: tuple(part for level, part in enumerate(folder) if level not in taken) for folder in tree.folders},
    )


def find_class_levels(folders: list[Folder]) -> list[int]:
    """Return the levels of folders that may be classes: those at which names differ and are no batches.

    Args:
        folders: The parts of each folder that holds images directly.

    Raises:
        DoesNotFitError: Images lie at several depths, and it cannot be told what is a class.
    """
    depths = {len(folder) for folder in folders}
    if len(depths) > 1:
        tops = {folder[0] for folder in folders}
        mixed = {folder[0] for folder in folders if len(folder) > 1}
        inner = {part for folder in folders for part in folder[1:]}
        if not all((top,) in folders for top in mixed) or inner & tops or len(tops) < 2:
            raise DoesNotFitError(
                "images lie at several depths, so that a folder may be a class or hold several: "
                + ", ".join("/".join(folder) for folder in sorted(folders)[:3])
            )
        return [0]
    found = []
    for level in range(depths.pop()):
        names = {folder[level] for folder in folders}
        if len(names) > 1 and not all(BATCH.fullmatch(name) for name in names):
            found.append(level)
    return found


def read_classes(listing: Listing, name: str, choose: Callable[[list[int]], int | None]) -> Layout | None:
    """Read one folder a class, with folds above or below.

    Args:
        listing: The files.
        name: The reading's name.
        choose: Takes one of the levels that may be classes, or None.

    Raises:
        DoesNotFitError: The folders have no such meaning.
    """
    tree = grow_tree(listing.images)
    if not tree.folders:
        return None
    split = take_out_folds(tree)
    labelled = [folder for folder in tree.folders if split.rest[folder]]
    if not labelled:
        raise DoesNotFitError(
            f"the folders {', '.join(sorted(folder[0] for folder in tree.folders))} are folds, with no class folders"
        )
    level = choose(find_class_levels([split.rest[folder] for folder in labelled]))
    if level is None:
        return None
    label = {folder: split.rest[folder][level] for folder in labelled}
    _require_classes({part for folder in labelled for part in split.rest[folder]})
    rows = [(path, label[folder], split.fold[folder]) for folder in labelled for path in tree.folders[folder]]
    unlabelled = [path for folder in tree.folders if folder not in label for path in tree.folders[folder]]
    if len(tree.loose) > len(rows):
        raise DoesNotFitError(
            f"more images stand beside the class folders ({len(tree.loose)}) than in them ({len(rows)})"
        )
    folds = _list_folds(rows)
    base = "/".join(tree.prefix)
    return Layout(
        name,
        _explain(label, split, level, folds),
        base,
        make_index(rows, base, folds=bool(folds)),
        {"data.class_folders": _make_glob(tree, split, level)},
        {
            "stands beside the class folders": tuple(tree.loose),
            "lies in a fold without class folders": tuple(unlabelled),
        },
    )


def _require_classes(names: set[str]) -> None:
    """Refuse folders that hold something else than images of classes, such as masks.

    Raises:
        DoesNotFitError: Names one and the remedy.
    """
    if unclear := sorted(name for name in names if name.casefold() in NO_CLASSES):
        raise DoesNotFitError(
            f"the folder {unclear[0]!r} may hold no images of a class: move it out, or set data.class_folders='*' if "
            "it does"
        )


def _list_folds(rows: list[tuple[str, str, str]]) -> set[str]:
    """Return the folds, none if all images have the same.

    Raises:
        DoesNotFitError: A class has no training images, so that folders may be no classes.
    """
    folds = {fold for _, _, fold in rows}
    if len(folds) < 2:
        return set()
    trained = {label for _, label, fold in rows if fold == "train"}
    if "train" not in folds or (alone := sorted({label for _, label, _ in rows} - trained)):
        missing = ", ".join(alone[:3]) if "train" in folds else "any class"
        raise DoesNotFitError(f"the folders give folds, and no training images of {missing}")
    return folds


def _explain(label: dict[Folder, str], split: Split, level: int, folds: set[str]) -> str:
    classes = sorted(set(label.values()))
    where = "one folder a class" if level == 0 else f"one folder a class, {level + 1} levels deep"
    shown = ", ".join(classes[:4]) + (", ..." if len(classes) > 4 else "")
    given = f"; folders give the folds {', '.join(sorted(folds))}" if folds else ""
    return f"{where} ({shown}){given}"


def _make_glob(tree: Tree, split: Split, level: int) -> str:
    """Return the glob of the class folders; with folds below them it cannot tell the folds."""
    folder = next(folder for folder in tree.folders if split.rest[folder])
    skipped = level
    for place, part in enumerate(folder):
        if split.fold[folder] and find_fold(part) == split.fold[folder] and place <= skipped:
            skipped += 1
    return "/".join([*tree.prefix, *"*" * (skipped + 1)])
