"""The one layout that fits the files of a source, or a refusal that names all that might."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from unfreeze.errors import UnfreezeError
from unfreeze.sources.comparison import choose
from unfreeze.sources.file_types import ARCHIVES, TABLES, get_suffix
from unfreeze.sources.inventory import Listing, is_usable
from unfreeze.sources.layout import DoesNotFitError, Layout, load_readings
from unfreeze.sources.listed_folds import add_listed_folds
from unfreeze.sources.messages import require_none, show_examples

# What an ambiguous source can be told apart by, where no setting of the user's does.
REMEDY = "put one folder a class, or a table of paths and labels named by data.labels.file"


def recognise(listing: Listing) -> Layout:
    """Find out what the files of a source mean.

    Every reading of the registry is tried. Two that fit and differ are refused.

    Args:
        listing: The files.

    Returns:
        The layout. Each file is in its index or left out for a reason.

    Raises:
        UnfreezeError: Nothing fits, several readings do, or what fits cannot be used; the message says why.
    """
    _require_names(listing)
    layouts, reasons = [], {}
    for reading in load_readings():
        try:
            layout = reading.read(listing)
        except DoesNotFitError as error:
            reasons[reading.name] = str(error)
        else:
            if layout is not None:
                layouts.append(layout)
    if not layouts:
        raise UnfreezeError(_describe_failure(listing, reasons))
    return finish(add_listed_folds(choose(layouts, listing.name), listing), listing)


def finish(layout: Layout, listing: Listing) -> Layout:
    """Give every file that is not in a layout's index a reason, and refuse classes that cannot be told apart.

    Args:
        layout: The layout.
        listing: The files.

    Raises:
        UnfreezeError: There are not two classes, or two differ in case, blanks or Unicode form only.
    """
    require_distinct_labels(layout.index["label"], listing.name)
    if layout.index["label"].nunique() < 2:
        only = next(iter(layout.index["label"]), "none")
        raise UnfreezeError(
            f"data.source {listing.name} holds one class, {only!r}, by its {layout.explanation}: expected two or more"
        )
    used = set(layout.paths) if layout.unpack is None else set()
    left_out: dict[str, list[str]] = defaultdict(list)
    named: set[str] = set(used)
    for reason, paths in layout.left_out.items():
        fresh = [path for path in paths if path not in named]
        named.update(fresh)
        if fresh:
            left_out[reason] = fresh
    for path in listing.images:
        if path not in named:
            left_out[f"is not part of the {layout.reading}"].append(path)
    for path in listing.others:
        if path not in named:
            left_out[_describe_other(path)].append(path)
    left_out["is hidden"].extend(path for path in listing.hidden if path not in named)
    left_out["is a link to nothing, or no file"].extend(path for path in listing.broken if path not in named)
    packed = len(layout.index) if layout.unpack is not None else 0
    return replace(
        layout,
        left_out={reason: tuple(sorted(paths)) for reason, paths in sorted(left_out.items()) if paths},
        seen=listing.seen + packed,
    )


def describe_links(listing: Listing) -> tuple[str, ...]:
    """Return what people should know of links among the files of a source."""
    notes = []
    if listing.outside:
        notes.append(
            f"{len(listing.outside)} links lead out of the source and are followed, though DVC does not notice what "
            f"changes there: {show_examples(listing.outside)}"
        )
    if listing.loops:
        notes.append(
            f"{len(listing.loops)} links lead back to a folder that they are in, and are not followed: "
            f"{show_examples(listing.loops)}"
        )
    return tuple(notes)


def require_distinct_labels(labels: "pd.Series[str]", name: str) -> None:
    """Refuse labels that differ in case, blanks or Unicode form only.

    Args:
        labels: The label of each image.
        name: How messages call the folder or the table that gives them.

    Raises:
        UnfreezeError: Names such labels, how many images have each, and the fix.
    """
    counts = Counter(labels.tolist())
    forms: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        forms[fold_text(label)].append(label)
    for alike in forms.values():
        if len(alike) > 1:
            alike.sort(key=lambda label: (-counts[label], label))
            shown = ", ".join(f"{ascii(label)} ({counts[label]} images)" for label in alike[:3])
            raise UnfreezeError(
                f"{name} has labels that differ only in case, blanks or Unicode form: {shown}: write one of them "
                f"everywhere, or map them with data.labels.label_map to {alike[0]!r}"
            )


def fold_text(text: str) -> str:
    """Return a text without what people do not see as a difference: case, Unicode form, blanks.

    >>> fold_text(" Cat  one") == fold_text("cat one ")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _require_names(listing: Listing) -> None:
    bad = [path for path in listing.images if not is_usable(path)]
    problem = "images whose names are not UTF-8, or hold `\\` or control characters"
    require_none(bad, listing.name, problem, "rename them")


def _describe_other(path: str) -> str:
    """Return why a file that is no image is left out, as the end of "since each ..."."""
    suffix = get_suffix(path)
    if suffix in ARCHIVES:
        return f"is an archive beside images ({suffix}): unpack it if its images belong to the set"
    return f"is no image ({suffix or 'no suffix'})"


def _describe_failure(listing: Listing, reasons: dict[str, str]) -> str:
    if not listing.images and not reasons:
        counts = Counter(get_suffix(path) or "no suffix" for path in listing.others)
        there = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(4)) or "nothing"
        if listing.others and all(get_suffix(path) in TABLES for path in listing.others):
            return (
                f"data.source {listing.name} has no images beside its table ({there}): put the table into the folder "
                "that holds the images it names, also by absolute paths, and give that folder"
            )
        return (
            f"data.source {listing.name} is empty: expected one folder a class with images in it, or images and a "
            f"table of labels; there is {there}"
        )
    reasons = {name: reason for name, reason in reasons.items() if listing.images or name != "labels in file names"}
    folders = {path.rpartition("/")[0] for path in listing.images}
    if len(folders) == 1 and "" not in folders:
        reasons = {"class folders": f"all images lie in {folders.pop()!r}, so not at least two classes", **reasons}
    shown = "; ".join(f"no {name}: {reason}" for name, reason in reasons.items()) or "all images lie in one folder"
    if unopened := [path for path in listing.others if get_suffix(path) in ARCHIVES]:
        shown += f"; archives beside images are not opened, unpack them: {show_examples(unopened)}"
    return f"data.source {listing.name} has {len(listing.images)} images and no sure labels ({shown}): {REMEDY}"


def show_left_out(layout: Layout) -> Iterable[str]:
    """Yield one sentence a reason for which files are left out."""
    for reason, paths in layout.left_out.items():
        yield f"{len(paths)} left out, since each {reason}: {show_examples(paths)}"
