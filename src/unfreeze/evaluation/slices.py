"""Slices: parts of the test fold that have a property in common, and whether a model does worse or better there."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from unfreeze.evaluation import intervals, pairs
from unfreeze.records.verdict import Slice

# Fewer tell nothing, neither of the slice nor of the rest.
LEAST_IMAGES = 20
# More values are no categories, or too many to read.
MOST_VALUES = 12
# Numbers that are parted into thirds, with the names of the thirds.
NUMBERS = {
    "size": ("smallest", "middle", "largest"),
    "brightness": ("darkest", "middle", "brightest"),
    "sharpness": ("least sharp", "middle", "sharpest"),
    "entropy": ("plainest", "middle", "richest"),
}
# The manifest's columns that say which image it is, what the checks made of it, or what another column says.
LEFT_OUT = (
    "path", "label", "label_given", "fold", "weight", "bytes", "sha256", "pixels_sha256", "perceptual_hash", "reason",
    "verdict", "cluster", "copies", "suffix_fits", "pictures", "partial_alpha", "width", "height", "dark_end",
    "bright_end",
)  # fmt: skip


def score_slices(predictions: pd.DataFrame, manifest: pd.DataFrame, *, seed: int) -> list[Slice]:
    """Score the slices of the test fold.

    Slices are the values of the manifest's categories, such as format, group or source folder, and the thirds of
    its numbers. A slice, and the rest of the fold, have at least `LEAST_IMAGES`.

    Args:
        predictions: One row a test image: `id`, `label` and `correct`.
        manifest: The manifest, with a `path` that is the id.
        seed: Seed of the intervals.

    Returns:
        One entry a slice. It stands out if its accuracy differs from the rest's by Fisher's exact test at 5 %,
        adjusted by Holm for the number of slices. Those that stand out come first, then the lowest accuracy.
    """
    rows = manifest.set_index("path").loc[predictions["id"]].reset_index()
    correct, labels = predictions["correct"].to_numpy(bool), pd.factorize(predictions["label"])[0]
    found, p_values = [], []
    for column, name, members in iterate_slices(rows):
        if min(members.sum(), (~members).sum()) < LEAST_IMAGES:
            continue
        counts = [[(correct & own).sum(), (~correct & own).sum()] for own in (members, ~members)]
        p_values.append(fisher_exact(counts).pvalue)
        found.append((column, name, members))
    if not found:
        return []
    differs = pairs.adjust_p_values(np.array(p_values)) < pairs.SIGNIFICANCE
    scored = [
        Slice(
            column=column,
            slice=name,
            images=int(members.sum()),
            accuracy=intervals.estimate_accuracy(correct[members], labels[members], seed=seed),
            rest=float(correct[~members].mean()),
            stands_out=bool(stands_out),
        )
        for (column, name, members), stands_out in zip(found, differs, strict=True)
    ]
    return sorted(scored, key=lambda part: (not part.stands_out, part.accuracy.value))


def iterate_slices(rows: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield column, name and members of each slice.

    Args:
        rows: The manifest's rows of the images.
    """
    for column, values in find_categories(rows).items():
        for value in sorted(values.unique()):
            yield str(column), str(value), (values == value).to_numpy()
    numbers = rows.assign(size=np.sqrt(rows["width"].astype(float) * rows["height"].astype(float)))
    for column, names in NUMBERS.items():
        yield from ((column, name, members) for name, members in split_thirds(numbers[column].to_numpy(float), names))


def find_categories(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that are categories, as text, and the folders that images come from, one column a level."""
    given = rows.drop(columns=[*LEFT_OUT, *NUMBERS], errors="ignore").astype(str)
    folders = rows["path"].str.rpartition("/")[0].str.split("/", expand=True).fillna("")
    for level, (_, names) in enumerate(folders.items(), start=1):
        # Where each folder holds one class, these are the classes, which have scores of their own.
        if rows["label"].groupby(names).nunique().max() > 1:
            given[f"folder {level}"] = names
    return given.loc[:, [2 <= given[name].nunique() <= MOST_VALUES for name in given]]


def split_thirds(values: np.ndarray, names: tuple[str, str, str]) -> list[tuple[str, np.ndarray]]:
    """Part numbers at their terciles.

    Args:
        values: A number an image.
        names: Of the lowest, the middle and the highest third.

    Returns:
        Name and members of each; none where so many values are the same that there are no thirds.
    """
    low, high = np.quantile(values, (1 / 3, 2 / 3))
    if not values.min() < low < high:
        return []
    below, above = (f"{edge:,.0f}" if edge >= 100 else f"{edge:.3g}" for edge in (low, high))
    return [
        (f"{names[0]} third (under {below})", values < low),
        (f"{names[1]} third ({below} to {above})", (values >= low) & (values < high)),
        (f"{names[2]} third (from {above})", values >= high),
    ]
