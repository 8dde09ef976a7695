"""Copies of one image that the source puts into different folds."""

import pandas as pd

from unfreeze.checks.image_check import ImageCheck, Images, register


def find_copies_across_folds(images: Images) -> pd.Series:
    """Find images whose copies, or whose group's images, have another fold in the source; none without such folds."""
    rows = images.rows
    if "fold" not in rows:
        return pd.Series(False, index=rows.index)
    folds = rows["fold"].where((rows["fold"] != "") & images.readable)
    return folds.notna() & (folds.groupby(rows["cluster"]).transform("nunique") > 1)


register(
    ImageCheck(
        name="copies_across_folds",
        level="warning",
        title="images have copies, or images of their group, in another fold of the source",
        meaning="The test fold then holds what the model was trained on, as it does in some published splits. The "
        "study goes on, and its report gives the accuracy with and without these images.",
        remedy="remove the copies from one of the folds, or set the level to error",
        find=find_copies_across_folds,
        finds_copies=True,
        detail="in fold {fold}",
        order=13,
    )
)
