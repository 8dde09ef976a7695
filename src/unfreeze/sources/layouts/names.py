"""Labels in file names, such as cat.12.jpg or 12_dog.png, where all images lie in one folder, or in one a fold."""

import re
from collections import Counter

from unfreeze.sources.fold_words import find_fold
from unfreeze.sources.folder_classes import Folder, Tree, grow_tree, take_out_folds
from unfreeze.sources.inventory import Listing
from unfreeze.sources.layout import DoesNotFitError, Layout, Reading, make_index, register

# The label, without digits, before or behind a number at the end of a path.
BEFORE = r"(?:^|/)([^/\d]*[^\W\d_])[\s._-]?\(?\d+\)?\.[^./]+$"
BEHIND = r"(?:^|/)\d+[\s._-]([^\W\d_](?:[^/\d.]*[^\W\d_])?)\.[^./]+$"
# What cameras, programs and people call any image.
GENERAL_WORDS = (
    "img image images dsc dscn dscf dcim pxl mvi gopr gh wa pic picture photo foto bild scan frame screenshot cell "
    "slice page file untitled copy tile patch sample unsorted"
)
NO_LABELS = frozenset(GENERAL_WORDS.split())
# Images that a class has at least.
LEAST = 2


def read(listing: Listing) -> Layout | None:
    """Take labels from file names, if there is one way to do so.

    Raises:
        DoesNotFitError: The names have no such form, or more than one.
    """
    if not listing.images:
        return None
    tree = grow_tree(listing.images)
    if not tree.folders:
        folder = listing.images[0].rpartition("/")[0]
        tree = Tree((), {(): list(listing.images)}, [])
        fold_of: dict[Folder, str] = {(): ""}
    else:
        split = take_out_folds(tree)
        if any(split.rest.values()):
            return None
        folder, fold_of = "/".join(tree.prefix), split.fold
    rows = [(path, fold_of[part]) for part, paths in tree.folders.items() for path in paths]
    pattern, labelled, without = _find_labels(rows)
    folds = {fold for _, _, fold in labelled}
    given = f"; folders give the folds {', '.join(sorted(folds))}" if len(folds) > 1 else ""
    return Layout(
        "labels in file names",
        f"labels in file names ({', '.join(sorted({label for _, label, _ in labelled})[:4])}){given}",
        folder,
        make_index(labelled, folder, folds=len(folds) > 1),
        {"data.label": pattern},
        {"stands beside the folds": tuple(tree.loose), "lies in a fold without labels": tuple(without)},
        rank=0,
    )


def _find_labels(rows: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str, str]], list[str]]:
    """Return the pattern; path, label and fold of each image; and the images of folds that have no labels at all."""
    names = [(path, fold, {form: re.search(form, path) for form in (BEFORE, BEHIND)}) for path, fold in rows]
    forms = [form for form in (BEFORE, BEHIND) if any(matches[form] for _, _, matches in names)]
    if not forms:
        raise DoesNotFitError("file names hold no labels in the form of cat.12.jpg or 12_dog.png")
    if len(forms) > 1:
        raise DoesNotFitError("some file names hold a word before their number, others behind it")
    with_labels = {fold for _, fold, matches in names if matches[forms[0]]}
    found, without = [], []
    for path, fold, matches in names:
        match = matches[forms[0]]
        if fold not in with_labels:
            without.append(path)
        elif match is None:
            raise DoesNotFitError(f"the file name {path!r} holds no label in the form of cat.12.jpg or 12_dog.png")
        else:
            found.append((path, match[1], fold))
    _require_one_reading(Counter(label for _, label, _ in found))
    return forms[0], found, without


def _require_one_reading(counts: "Counter[str]") -> None:
    """Refuse words that may be no labels, or of which a part may be the label.

    Raises:
        DoesNotFitError: Names the words.
    """
    if len(counts) < 2:
        raise DoesNotFitError(f"all file names hold the same word, {next(iter(counts))!r}")
    words = {label: re.split(r"[\s._-]+", label) for label in counts}
    general = sorted(word for parts in words.values() for word in parts if word.casefold() in NO_LABELS)
    if general or any(find_fold(label) for label in counts):
        raise DoesNotFitError(f"words in file names may be no labels ({', '.join(general or sorted(counts)[:3])})")
    if rare := sorted(label for label, count in counts.items() if count < LEAST):
        raise DoesNotFitError(f"words in file names stand there once, as no label does ({', '.join(rare[:3])})")
    # cat_black_1 and cat_white_2: the animal, the colour, or both.
    firsts, lasts = {parts[0] for parts in words.values()}, {parts[-1] for parts in words.values()}
    if 1 < len(firsts) < len(counts) or 1 < len(lasts) < len(counts) or len(firsts) == 1:
        raise DoesNotFitError(
            f"file names hold several words, of which each may be the label ({', '.join(sorted(counts)[:3])})"
        )


register(Reading("labels in file names", read))
