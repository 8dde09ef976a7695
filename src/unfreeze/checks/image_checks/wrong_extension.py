"""Names that end in another format's suffix."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_wrong_extensions(images: Images) -> pd.Series:
    """Find files whose suffix is none of their format's."""
    return images.readable & (images.rows["suffix_fits"] == False)  # noqa: E712


register(
    ImageCheck(
        name="wrong_extension",
        level="warning",
        title="names end in another format's suffix",
        meaning="They are read by their content. Other programs may go by the name.",
        remedy="rename them",
        find=find_wrong_extensions,
        detail="is {format}",
        order=2,
    )
)
