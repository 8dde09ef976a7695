"""Images under two labels with only small differences."""

import numpy as np

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_near_conflicts(images: Images) -> np.ndarray:
    """Find images in a pair that shows the same under two labels; none where checks.near_duplicates is off."""
    labels = images.rows["label"].to_numpy()
    first, second = images.near.T
    return np.isin(np.arange(len(images.rows)), images.near[labels[first] != labels[second]])


register(
    ImageCheck(
        name="near_conflicts",
        level="warning",
        title="images stand under two labels with only small differences",
        meaning="Either one label is wrong, or the small difference is what matters.",
        remedy="look at them, and correct the wrong labels",
        find=find_near_conflicts,
        finds_copies=True,
        order=12,
    )
)
