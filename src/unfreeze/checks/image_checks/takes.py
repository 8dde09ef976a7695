"""Classes that are hardly more than near copies of a few scenes."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register

# Smaller sets of copies are what `near_duplicates` tells of.
LEAST_IMAGES = 8


def find_takes(images: Images, threshold: float) -> pd.Series:
    """Find images of a chain of near copies that makes up more than a share of its class."""
    rows = images.rows[images.readable]
    in_chain = rows.groupby(["label", "copies"])["label"].transform("size")
    in_class = rows.groupby("label")["label"].transform("size")
    found = (in_chain >= LEAST_IMAGES) & (in_chain > threshold * in_class)
    return found.reindex(images.rows.index, fill_value=False)


register(
    ImageCheck(
        name="takes",
        level="warning",
        threshold=0.25,
        title="a large part of a class is one chain of near copies",
        meaning="They look like frames of one video, shots of one burst or slices of one scan. A chain stays in one "
        "fold, so the class has fewer images to learn from and to be tested on than it seems.",
        remedy="bring images of more scenes; where names say which belong together, such as patient07_slice12.png, "
        "give a group column (data.labels.group_column)",
        find=find_takes,
        finds_copies=True,
        order=14,
    )
)
