"""Images of a few pixels."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_too_small(images: Images, threshold: float) -> pd.Series:
    """Find images whose shorter side is below the threshold."""
    return images.rows[["width", "height"]].min(axis=1) < threshold


register(
    ImageCheck(
        name="too_small",
        level="error",
        threshold=8,
        title="images have too few pixels",
        meaning="A side is shorter than the threshold, in pixels: such files are placeholders or cut-outs that show "
        "nothing.",
        remedy="bring larger ones or remove them, or set checks.on_bad=quarantine to leave them out",
        find=find_too_small,
        detail="{width:.0f} x {height:.0f} pixels",
        is_unusable=True,
        order=1,
    )
)
