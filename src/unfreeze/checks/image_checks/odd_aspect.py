"""Very long or very high images."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_odd_aspects(images: Images, threshold: float) -> pd.Series:
    """Find images whose shorter side is a small part of the longer one."""
    sides = images.rows[["width", "height"]]
    return sides.min(axis=1) / sides.max(axis=1) < threshold


register(
    ImageCheck(
        name="odd_aspect",
        level="warning",
        threshold=0.35,
        title="images are very long or very high",
        meaning="The shorter side is below the threshold times the longer one. Made square, they are distorted.",
        remedy="crop them",
        find=find_odd_aspects,
        detail="{width:.0f} x {height:.0f} pixels",
        order=8,
    )
)
