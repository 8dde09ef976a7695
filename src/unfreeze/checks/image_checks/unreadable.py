"""Files that do not become pixels."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_unreadable(images: Images) -> pd.Series:
    """Find files that cannot be decoded."""
    return ~images.readable


register(
    ImageCheck(
        name="unreadable",
        level="error",
        setting="checks.on_bad",
        title="images cannot be read",
        meaning="They are empty, cut short, damaged, too large, or no images. Nothing takes their place.",
        remedy="replace or remove them, or set checks.on_bad=quarantine to leave them out",
        find=find_unreadable,
        detail="{reason}",
        is_unusable=True,
        order=0,
    )
)
