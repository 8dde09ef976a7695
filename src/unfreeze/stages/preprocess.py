"""Decode and resize every usable image once, into data/images.h5."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import gate, manifest, rules
from unfreeze.images import row_statistics, store
from unfreeze.paths import Paths
from unfreeze.settings.checks import CheckSettings, count_pixels
from unfreeze.settings.images import Preprocess
from unfreeze.settings.stage_settings import declare_param


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    preprocess: Preprocess
    max_megapixels: float = declare_param("checks.max_megapixels")
    checks: CheckSettings = declare_param("checks.single_colour")


def measure_pixels(paths: Paths) -> pd.DataFrame:
    """Return one row a stored image: path, label, mean and deviation of its pixels."""
    images = store.describe(paths.images)
    table = row_statistics.measure_rows(store.read_batches(paths.images, range(len(images.ids)), store.BLOCK))
    labels = np.array(images.classes)[images.labels]
    return pd.DataFrame({"path": images.ids, "label": labels, "mean": table["mean"], "deviation": table["deviation"]})


def run(settings: Settings, paths: Paths) -> None:
    """Write the store and check it."""
    rows = manifest.select_usable(pd.read_parquet(paths.manifest))
    store.write(
        paths.images,
        paths.raw,
        rows["path"].tolist(),
        rows["label"].tolist(),
        weights=rows["weight"].tolist() if "weight" in rows else None,
        size=settings.preprocess.image_size,
        max_pixels=count_pixels(settings.max_megapixels),
        manifest_sha256=files.hash_file(paths.manifest),
    )
    wanted = rules.guard_images(sorted(rows["label"].unique()), settings.checks)
    gate.enforce("images", measure_pixels(paths), wanted, paths)
