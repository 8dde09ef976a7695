"""Files that hold more than one picture."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_several_pictures(images: Images) -> pd.Series:
    """Find files with further pages or frames."""
    return images.rows["pictures"] > 1


register(
    ImageCheck(
        name="several_pictures",
        level="warning",
        title="files hold more than one picture, of which the first is used",
        meaning="Pages of a TIFF or frames of an animation follow the first picture, and are left out.",
        remedy="save each picture that counts as a file of its own, or ignore this if the first one is meant",
        find=find_several_pictures,
        detail="picture 1 of {pictures:.0f}",
        worst_first="pictures",
        low_is_worst=False,
        order=13,
    )
)
