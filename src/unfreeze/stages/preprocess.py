"""Decode and resize every usable image once, into data/images.h5."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import gate, manifest, rules
from unfreeze.cluster.shards import Cluster, Compute, Work, find_code_digest, name_images
from unfreeze.images import row_statistics, store
from unfreeze.images.originals import Originals
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
    max_file_gb: float = declare_param("cluster.max_file_gb")


def measure_pixels(paths: Paths) -> pd.DataFrame:
    """Return one row a stored image: path, label, mean and deviation of its pixels."""
    images = store.describe(paths.images)
    table = row_statistics.measure_rows(store.read_batches(paths.images, range(len(images.ids)), store.BLOCK))
    labels = np.array(images.classes)[images.labels]
    return pd.DataFrame({"path": images.ids, "label": labels, "mean": table["mean"], "deviation": table["deviation"]})


def load_compute(settings: Settings, paths: Paths) -> Compute:
    """Return what decodes images from one number up to another.

    Args:
        settings: Those of the stage.
        paths: The checkout.
    """
    rows = read_usable(paths)
    images, names = Originals.open(paths, rows), rows["path"].tolist()
    size, max_pixels = settings.preprocess.image_size, count_pixels(settings.max_megapixels)
    return lambda start, stop: store.decode_blocks(images, names[start:stop], size, max_pixels)


def read_usable(paths: Paths) -> pd.DataFrame:
    """Return the manifest's rows of images that may be used."""
    return manifest.select_usable(pd.read_parquet(paths.manifest))


def list_works(settings: Settings, paths: Paths) -> list[Work]:
    """Return what the stage computes, as work that can be divided."""
    return [describe_work(settings, paths, read_usable(paths))]


def describe_work(settings: Settings, paths: Paths, rows: pd.DataFrame) -> Work:
    """Return the pixels of the manifest's usable rows, as work that can be divided."""
    return Work(
        "preprocess",
        {
            "manifest": files.hash_file(paths.manifest),
            "size": settings.preprocess.image_size,
            "max_megapixels": settings.max_megapixels,
            "code": find_code_digest(paths, "preprocess"),
        },
        (len(rows),),
        partial(load_compute, settings, paths),
        name_rows=partial(name_images, rows["path"].tolist()),
    )


def run(settings: Settings, paths: Paths, cluster: Cluster) -> None:
    """Write the store and check it."""
    rows = read_usable(paths)
    store.write(
        paths.images,
        paths.raw,
        rows["path"].tolist(),
        rows["label"].tolist(),
        weights=rows["weight"].tolist() if "weight" in rows else None,
        size=settings.preprocess.image_size,
        max_pixels=count_pixels(settings.max_megapixels),
        manifest_sha256=files.hash_file(paths.manifest),
        pixels=cluster.iterate_rows(describe_work(settings, paths, rows)),
        max_file_bytes=int(settings.max_file_gb * 1e9),
    )
    wanted = rules.guard_images(sorted(rows["label"].unique()), settings.checks)
    gate.enforce("images", measure_pixels(paths), wanted, paths)
