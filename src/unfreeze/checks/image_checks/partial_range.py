"""16-bit images that use the lower bits only."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_partial_ranges(images: Images) -> pd.Series:
    """Find images of 16 bits a colour whose largest value needs 8 or 12."""
    return images.rows["spare_bits"] > 0


register(
    ImageCheck(
        name="partial_range",
        level="warning",
        title="16-bit images use 8 or 12 of their bits, and are stretched to these",
        meaning="The upper bits are empty: the upper byte alone would be black. Each image is read with the fewest "
        "bits of 8, 12 and 16 that hold its largest value, which also brightens a dark image of 16 bits.",
        remedy="ignore this if a device of that depth made all of them; else store 8 bits, scaled alike for all",
        find=find_partial_ranges,
        detail="the upper {spare_bits:.0f} of 16 bits are empty",
        worst_first="spare_bits",
        low_is_worst=False,
        order=14,
    )
)
