"""Labels and groups that a regular expression takes from the path of each image."""

import re

import pandas as pd

from unfreeze.sources.inventory import Listing
from unfreeze.sources.layout import Layout, make_index
from unfreeze.sources.messages import require_none, show_examples


def read_labels(listing: Listing, pattern: str) -> Layout:
    """Take each image's label from its path.

    Args:
        listing: The files.
        pattern: Regular expression whose first group is the label.

    Raises:
        UnfreezeError: It does not fit some paths.
    """
    found = {path: re.search(pattern, path) for path in listing.images}
    missing = [path for path, match in found.items() if match is None or not match[1]]
    problem = f"images whose path data.label {pattern!r} does not fit"
    require_none(missing, listing.name, problem, "correct data.label")
    rows = [(path, match[1], "") for path, match in found.items() if match is not None]
    return Layout(
        "labels by data.label", f"labels by data.label {pattern!r}", "", make_index(rows, "", folds=False),
        {"data.label": pattern},
    )  # fmt: skip


def add_groups(index: pd.DataFrame, pattern: str, name: str) -> tuple[pd.DataFrame, str]:
    """Give each image a group from its path.

    Args:
        index: One row an image: `path`, `label` and perhaps `fold`.
        pattern: Regular expression whose first group is the group.
        name: How messages call the source.

    Returns:
        The index with `group`, empty where the pattern does not fit, and a note on such images, if there are any.

    Raises:
        UnfreezeError: It fits no path.
    """
    matches = [re.search(pattern, path) for path in index["path"]]
    groups = [match[1] or "" if match else "" for match in matches]
    without = [path for path, group in zip(index["path"], groups, strict=True) if not group]
    if len(without) == len(index):
        require_none(without, name, f"no image whose path data.group {pattern!r} fits", "correct data.group")
    place = list(index.columns).index("fold") if "fold" in index else len(index.columns)
    grouped = index.drop(columns="group", errors="ignore")
    grouped.insert(min(place, len(grouped.columns)), "group", groups)
    note = f"data.group does not fit {len(without)} images, which have no group: {show_examples(without)}"
    return grouped, note if without else ""
