"""Images that are bright throughout."""

import numpy as np
import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, Picture, register


def measure_bright_end(picture: Picture) -> float:
    """Return the 5th percentile of the grey levels, 0..255."""
    # The first level up to which the histogram holds this share: sorting all pixels takes ten times as long.
    counted = np.cumsum(picture.grey.histogram())
    return float(np.searchsorted(counted, 0.05 * counted[-1]))


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
