"""Images that are dark throughout."""

import numpy as np
import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, Picture, register


def measure_dark_end(picture: Picture) -> float:
    """Return the 99th percentile of the grey levels, 0..255."""
    # The first level up to which the histogram holds this share: sorting all pixels takes ten times as long.
    counted = np.cumsum(picture.grey.histogram())
    return float(np.searchsorted(counted, 0.99 * counted[-1]))


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
