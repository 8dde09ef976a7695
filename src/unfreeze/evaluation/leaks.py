"""Test images that have copies among the images that a model was trained or chosen on."""

import numpy as np
import pandas as pd

from unfreeze.evaluation import intervals
from unfreeze.records.finding import Finding
from unfreeze.records.verdict import Leak


def find_leaked(ids: pd.Series, manifest: pd.DataFrame) -> np.ndarray:
    """Tell which test images have a copy, or an image of their group, in another fold.

    Args:
        ids: Ids of all images of the test fold.
        manifest: The manifest, with `path`, `verdict` and `cluster`.

    Returns:
        Bool array of shape (images,).
    """
    usable = manifest[manifest["verdict"] == "ok"].set_index("path")["cluster"]
    elsewhere = usable[~usable.index.isin(ids)]
    return usable.loc[ids].isin(elsewhere).to_numpy(bool)


def score_without(correct: np.ndarray, labels: np.ndarray, leaked: np.ndarray, *, seed: int) -> Leak | None:
    """Score the test images that have no copy in another fold.

    Args:
        correct: Whether each test image is predicted right, bool array of shape (images,).
        labels: Class numbers, shape (images,).
        leaked: From `find_leaked`.
        seed: Seed of the interval.

    Returns:
        None where no image has one.
    """
    if not leaked.any():
        return None
    kept = ~leaked
    accuracy = intervals.estimate_accuracy(correct[kept], labels[kept], seed=seed) if kept.any() else None
    return Leak(images=int(leaked.sum()), accuracy_without=accuracy)


def describe_leak(backbone: str, accuracy: float, images: int, leak: Leak | None) -> list[Finding]:
    """Return what the report says of a leak; nothing where there is none.

    Args:
        backbone: The backbone.
        accuracy: On all test images, 0..1.
        images: Number of test images.
        leak: Its leak.
    """
    if leak is None:
        return []
    without = leak.accuracy_without
    rest = (
        "no test image is left without them"
        if without is None
        else f"{without.value:.1%} ({without.low:.1%} to {without.high:.1%}) without them"
    )
    return [
        Finding(
            backbone=backbone,
            check="copies_across_folds",
            level="warning",
            what=f"{leak.images} of {images} test images have copies in other folds: accuracy {accuracy:.1%} with "
            f"them, {rest}",
            cause="the folds of the source put copies of one image, or images of one group, on both sides",
            remedy="remove the copies from one of the folds, or give no folds, so that copies stay together",
        )
    ]
