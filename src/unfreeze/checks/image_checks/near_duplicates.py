"""Images that are nearly the same."""

import numpy as np

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_near_duplicates(images: Images, _bits: float) -> np.ndarray:
    """Find images in a pair that shows the same; the pairs are found before, with the threshold."""
    return np.isin(np.arange(len(images.rows)), images.near)


register(
    ImageCheck(
        name="near_duplicates",
        level="warning",
        threshold="auto",
        title="images are nearly the same as others",
        meaning="They are copies all the same, or photographs of one thing, and stay in one fold. Their labels may "
        "differ.",
        remedy="look at them, and remove the copies",
        find=find_near_duplicates,
        finds_copies=True,
        order=11,
    )
)
