"""A checkout's image store, manifest and activations, small and made up, for what reads cached features."""

import numpy as np
import pandas as pd

from tests.conftest import SETTINGS, draw
from unfreeze import files
from unfreeze.features import cache
from unfreeze.features.plan import Fold, Plan
from unfreeze.images import store
from unfreeze.paths import Paths


def store_features(
    paths: Paths, *, images: int = 80, views: int = 1, stored: bool = True, position: int = 3
) -> np.ndarray:
    """Write images of two classes, the second half for validation, and activations that tell the classes apart.

    Images 0 and 1 are of one cluster.

    Returns:
        The activations, of shape (images, 2, 2, 6); those of a view after the first are their negatives.
    """
    ids = [f"{number:03}.png" for number in range(images)]
    labels = np.arange(images) % 2
    paths.raw.mkdir(parents=True)
    for number, name in enumerate(ids):
        draw((100, 100, 100), number, side=8).save(paths.raw / name)
    store.write(
        paths.images,
        paths.raw,
        ids,
        [["cat", "dog"][label] for label in labels],
        size=8,
        max_pixels=10**6,
        manifest_sha256="a",
    )
    with files.atomic(paths.manifest) as partial:
        pd.DataFrame({"path": ids, "cluster": [0, *range(images - 1)]}).to_parquet(partial)
    train, val = np.arange(images // 2), np.arange(images // 2, images)
    train_rows = np.tile(train, views)
    plan = Plan(
        position=position,
        row_shape=(2, 2, 6),
        dtype="float16",
        train=Fold(train_rows, labels[train_rows], np.ones(len(train_rows))),
        val=Fold(val, labels[val], np.ones(len(val))),
        classes=2,
        determined_by={"images": store.describe(paths.images).digest},
        settings=SETTINGS.model_copy(update={"augment": SETTINGS.augment.model_copy(update={"views": views})}),
        stored=stored,
    )
    activations = np.random.default_rng(0).normal(0, 1, (images, 2, 2, 6)) + labels[:, None, None, None]
    with cache.open_writer(paths.features("b"), plan) as writer:
        if stored:
            writer.append(activations[train])
            for _ in range(1, views):
                writer.append(-activations[train])
            writer.append(activations[val])
    return activations
