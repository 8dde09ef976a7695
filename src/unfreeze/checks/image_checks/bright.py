"""Images that are bright throughout."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, Picture, register


def measure_bright_end(picture: Picture) -> float:
    """Return the 5th percentile of the grey levels, 0..255."""
    return picture.find_grey_level(0.05)


def find_bright(images: Images, threshold: float) -> pd.Series:
    """Find images whose darkest pixels are bright."""
    return images.rows["bright_end"] > threshold


register(
    ImageCheck(
        name="bright",
        level="warning",
        threshold=242,
        title="images are bright throughout",
        meaning="Ninety-five of a hundred pixels are brighter than the threshold, of 255.",
        remedy="look at them, and remove those on which nothing can be seen",
        measures={"bright_end": measure_bright_end},
        find=find_bright,
        detail="95 % of pixels from {bright_end:.0f}",
        worst_first="bright_end",
        low_is_worst=False,
        order=4,
    )
)
