"""Copies, pixel by pixel."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_exact_duplicates(images: Images) -> pd.Series:
    """Find images whose pixels come more than once."""
    return images.readable & (images.rows.groupby("pixels_sha256")["label"].transform("size") > 1)


register(
    ImageCheck(
        name="exact_duplicates",
        level="warning",
        title="images are there more than once, pixel by pixel",
        meaning="Copies count several times in training and in scores. They stay in one fold, so none leaks into a "
        "test.",
        remedy="remove the copies",
        find=find_exact_duplicates,
        finds_copies=True,
        order=10,
    )
)
