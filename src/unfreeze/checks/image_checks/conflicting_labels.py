"""One image under two labels."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_conflicting_labels(images: Images) -> pd.Series:
    """Find images whose pixels come under another label too."""
    labels = images.rows.groupby("pixels_sha256")["label"]
    return images.readable & (labels.transform("nunique") > 1)


register(
    ImageCheck(
        name="conflicting_labels",
        level="error",
        title="the same image stands under two labels",
        meaning="One of the labels is wrong, and a model cannot learn both.",
        remedy="decide which label is right and remove the other copy",
        find=find_conflicting_labels,
        finds_copies=True,
        order=9,
    )
)
