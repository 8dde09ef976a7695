"""Images that show next to nothing."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, Picture, register


def measure_entropy(picture: Picture) -> float:
    """Return the entropy of the grey levels, bits."""
    return float(picture.grey.entropy())


def find_low_information(images: Images, threshold: float) -> pd.Series:
    """Find images of few grey levels."""
    return images.rows["entropy"] < threshold


register(
    ImageCheck(
        name="low_information",
        level="warning",
        threshold=3,
        title="images show next to nothing",
        meaning="The entropy of their grey levels is below the threshold, in bits; a photograph has about 7.",
        remedy="look at them, and remove those on which nothing can be seen",
        measures={"entropy": measure_entropy},
        find=find_low_information,
        detail="entropy {entropy:.2f} bits",
        worst_first="entropy",
        order=6,
    )
)
