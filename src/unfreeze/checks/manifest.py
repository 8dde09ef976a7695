"""The manifest: one row an image, with what can be measured on it."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from unfreeze import files
from unfreeze.images import decoding
from unfreeze.runtime import console
from unfreeze.runtime.isolated_map import Failure, run_isolated
from unfreeze.settings.checks import Limits

# Brightness, sharpness and entropy are compared between images, so all are measured at one size, pixels.
MEASURED_SIZE = 256
LEVELS = np.arange(256)
MEASURES = (
    "width", "height", "mode", "format", "suffix_fits", "pixels_sha256", "perceptual_hash", "brightness", "dark_end",
    "bright_end", "sharpness", "entropy",
)  # fmt: skip


def build(index: pd.DataFrame, root: Path, limits: Limits) -> pd.DataFrame:
    """Measure every image, each decoded in a process that may crash or hang without harm.

    Args:
        index: `path` and `label` of each image, and what else the source says of it.
        root: Folder the paths are relative to.
        limits: What decoding an image may take.

    Returns:
        One row an image: what the index has, then `bytes`, `sha256`, `reason` (empty, or why it cannot be read),
        and for readable images: `width` and `height` in pixels, `mode` and `format` as stored, `suffix_fits`,
        `pixels_sha256`, `perceptual_hash`, the mean `brightness`, its 99th percentile `dark_end` and its 5th
        `bright_end` (0..255), `sharpness` and `entropy` (bits).
    """
    paths = [root / name for name in index["path"]]
    look = partial(measure, max_pixels=limits.max_pixels)
    measured = run_isolated(look, paths, seconds=limits.seconds_per_image, gigabytes=limits.worker_gb)
    rows = []
    for path, result in zip(paths, console.track(measured, "checking images", len(paths)), strict=True):
        rows.append({**_of_file(path), "reason": result.reason} if isinstance(result, Failure) else result)
    table = pd.DataFrame(rows, columns=["bytes", "sha256", "reason", *MEASURES])
    return pd.concat([index.reset_index(drop=True), table], axis=1)


def measure(path: Path, *, max_pixels: int) -> dict[str, Any]:
    """Measure one image; one that cannot be read has a reason and no measures."""
    row = {**_of_file(path), "reason": ""}
    try:
        image = decoding.open_image(path, max_pixels=max_pixels)
    except decoding.Undecodable as error:
        return {**row, "reason": str(error)}
    grey = image.rgb.convert("L").resize((MEASURED_SIZE, MEASURED_SIZE), Image.Resampling.BILINEAR)
    values = np.asarray(grey)
    # Of the levels, weighed by how many pixels have them: sorting all pixels takes three times as long.
    dark_end, bright_end = np.quantile(LEVELS, (0.99, 0.05), weights=grey.histogram(), method="inverted_cdf")
    return row | {
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "format": image.format,
        "suffix_fits": decoding.has_matching_suffix(path, image.format),
        "pixels_sha256": hashlib.sha256(f"{image.rgb.size}".encode() + image.rgb.tobytes()).hexdigest(),
        # Of 32x32 pixels, which are as good from here as from the whole image.
        "perceptual_hash": str(imagehash.phash(grey)),
        "brightness": float(values.mean()),
        "dark_end": float(dark_end),
        "bright_end": float(bright_end),
        # The variance of the Laplacian: low on blurred images (Pech-Pacheco et al. 2000).
        "sharpness": float(cv2.Laplacian(values, cv2.CV_32F).var(dtype=np.float64)),
        "entropy": float(grey.entropy()),
    }


def usable(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of images that may be used."""
    return manifest[manifest["verdict"] == "ok"].reset_index(drop=True)


def _of_file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
