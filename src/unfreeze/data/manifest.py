"""The manifest: one row an image, with what can be measured on it."""

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from unfreeze import console, files

# Brightness, sharpness and entropy are compared between images, so all are measured at one size, pixels.
MEASURED_SIZE = 256


def build(index: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Measure every image.

    Args:
        index: `path` and `label` of each image.
        root: Folder the paths are relative to.

    Returns:
        One row an image: path, label, bytes, sha256, pixels_sha256, perceptual_hash, width, height, mode,
        format, brightness, sharpness, entropy, cluster, verdict and reason. Images of one cluster show the
        same pixels. The verdict is `ok`, `unreadable` or `conflict`: one image under two labels.
    """
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        measured = pool.map(measure, [root / name for name in index["path"]], chunksize=16)
        rows = list(console.track(measured, "checking images", len(index)))
    return judge(pd.concat([index.reset_index(drop=True), pd.DataFrame(rows)], axis=1))


def measure(path: Path) -> dict[str, Any]:
    """Measure one image; one that cannot be read has a reason and no measures."""
    row: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": files.sha256(path), "reason": ""}
    try:
        with Image.open(path) as image:
            row |= {"width": image.width, "height": image.height, "mode": image.mode, "format": image.format}
            rgb = image.convert("RGB")
    # Damaged files make decoders raise nearly anything.
    except Exception as error:
        return row | {"reason": " ".join(str(error).replace(str(path), path.name).split()) or type(error).__name__}
    grey = rgb.convert("L").resize((MEASURED_SIZE, MEASURED_SIZE), Image.Resampling.BILINEAR)
    values = np.asarray(grey)
    digest = hashlib.sha256(f"{rgb.size}".encode() + rgb.tobytes()).hexdigest()
    return row | {
        "pixels_sha256": digest,
        # Of 32x32 pixels, which are as good from here as from the whole image.
        "perceptual_hash": str(imagehash.phash(grey)),
        "brightness": float(values.mean()),
        # The variance of the Laplacian: low on blurred images (Pech-Pacheco et al. 2000).
        "sharpness": float(cv2.Laplacian(values, cv2.CV_32F).var(dtype=np.float64)),
        "entropy": float(grey.entropy()),
    }


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the duplicate cluster and the verdict of each image."""
    rows = rows.reindex(columns=[*rows.columns, *({"pixels_sha256", "reason"} - set(rows.columns))])
    readable = rows["reason"] == ""
    key = rows["pixels_sha256"].where(readable, rows["path"])
    rows["cluster"] = pd.factorize(key)[0]
    labels_of_cluster = rows.groupby("cluster")["label"].transform("nunique")
    rows["verdict"] = np.select([~readable, labels_of_cluster > 1], ["unreadable", "conflict"], "ok")
    return rows


def usable(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of images that may be used."""
    return manifest[manifest["verdict"] == "ok"].reset_index(drop=True)
