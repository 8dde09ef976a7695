"""Images that are dark throughout."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, Picture, register


def measure_dark_end(picture: Picture) -> float:
    """Return the 99th percentile of the grey levels, 0..255."""
    return picture.find_grey_level(0.99)


def find_dark(images: Images, threshold: float) -> pd.Series:
    """Find images whose brightest pixels are dark."""
    return images.rows["dark_end"] < threshold


register(
    ImageCheck(
        name="dark",
        level="warning",
        threshold=82,
        title="images are dark throughout",
        meaning="Ninety-nine of a hundred pixels are darker than the threshold, of 255.",
        remedy="look at them, and remove those on which nothing can be seen",
        measures={"dark_end": measure_dark_end},
        find=find_dark,
        detail="99 % of pixels up to {dark_end:.0f}",
        worst_first="dark_end",
        order=3,
    )
)
