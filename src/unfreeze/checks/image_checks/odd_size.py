"""Images far larger or smaller than the others."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register

# Smallest interquartile range, as a share of the median: where all images have about one size, one pixel is not odd.
LEAST_SPREAD = 0.05


def find_odd_sizes(images: Images, threshold: float) -> pd.Series:
    """Find images whose side is far from the median."""
    side = (images.rows["width"].astype(float) * images.rows["height"].astype(float)) ** 0.5
    return measure_spread(side) > threshold


def measure_spread(values: pd.Series) -> pd.Series:
    """Return the distance of each value from the median, in interquartile ranges."""
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    return (values - middle).abs() / max(high - low, LEAST_SPREAD * middle)


register(
    ImageCheck(
        name="odd_size",
        level="warning",
        threshold=3.5,
        title="images are far larger or smaller than the others",
        meaning="Their side lies more interquartile ranges from the median than the threshold. They may come from "
        "elsewhere.",
        remedy="look at where they come from",
        find=find_odd_sizes,
        detail="{width:.0f} x {height:.0f} pixels",
        order=7,
    )
)
