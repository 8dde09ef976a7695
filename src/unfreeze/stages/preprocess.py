"""Decode and resize every usable image once, into data/images.h5."""

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.data import manifest, store
from unfreeze.params import Params
from unfreeze.paths import Paths

PARAMS = ("preprocess",)


def pixel_statistics(paths: Paths) -> pd.DataFrame:
    """Return one row a stored image: path, label, mean and deviation of its pixels."""
    images = store.describe(paths.images)
    means, deviations = [], []
    for batch in store.batches(paths.images, range(len(images.ids)), store.WRITE_BATCH):
        flat = batch.reshape(len(batch), -1)
        means += flat.mean(axis=1).tolist()
        deviations += flat.std(axis=1).tolist()
    labels = np.array(images.classes)[images.labels]
    return pd.DataFrame({"path": images.ids, "label": labels, "mean": means, "deviation": deviations})


def run(params: Params, paths: Paths) -> None:
    """Write the store and check it."""
    from unfreeze.data import expectations

    rows = manifest.usable(pd.read_parquet(paths.manifest))
    store.write(
        paths.images,
        paths.raw,
        rows["path"].tolist(),
        rows["label"].tolist(),
        size=params.preprocess.image_size,
        manifest_sha256=files.sha256(paths.manifest),
    )
    rules = expectations.image_rules(sorted(rows["label"].unique()))
    expectations.gate("images", pixel_statistics(paths), rules, paths)
