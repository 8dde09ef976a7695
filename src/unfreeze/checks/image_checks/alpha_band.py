"""Alpha channels that hold something else than transparency."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_alpha_bands(images: Images, threshold: float) -> pd.Series:
    """Find images of which too many pixels are partly transparent."""
    return images.rows["partial_alpha"] > threshold


register(
    ImageCheck(
        name="alpha_band",
        level="warning",
        threshold=0.5,
        title="the alpha channel seems to be a band and no transparency",
        meaning="More pixels than the threshold, a share, are neither opaque nor fully transparent, or none is "
        "opaque, as with a fourth band such as infrared or depth. Taken for transparency it bleaches the picture.",
        remedy="store RGB without it, or ignore this if the pictures are meant to be transparent",
        find=find_alpha_bands,
        detail="{partial_alpha:.0%} of pixels partly transparent",
        worst_first="partial_alpha",
        low_is_worst=False,
        order=15,
    )
)
