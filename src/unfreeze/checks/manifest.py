"""The manifest: one row an image, with everything that is measured on it."""

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pandas as pd

# The first perceptual hash imports it: loaded here, it is loaded once for all processes that measure images.
import scipy.fftpack  # noqa: F401
from PIL import Image

from unfreeze import files
from unfreeze.checks.image_check import ImageCheck, Picture, load_image_checks
from unfreeze.errors import UnfreezeError
from unfreeze.images import decoding, formats
from unfreeze.images.isolated import ImageFile, run_on_images
from unfreeze.runtime import console
from unfreeze.runtime.isolated_map import Failure
from unfreeze.runtime.remote_folder import RemoteFolder
from unfreeze.settings.checks import Limits

# Side of the grey version that measures are taken on, pixels: one size makes them comparable between images.
MEASURED_SIZE = 256
# Columns of every manifest; those of the image checks follow.
MEASURES = (
    "width", "height", "mode", "format", "suffix_fits", "pictures", "spare_bits", "partial_alpha", "pixels_sha256",
    "perceptual_hash", "brightness",
)  # fmt: skip


# Most bytes of an image's measures as JSON; those of the project's own checks take about 800. A shard's rows are as
# wide as its longest.
MOST_BYTES = 8192
# Images whose measures are handed over together.
BLOCK = 64


def iterate_measures(paths: Sequence[ImageFile], limits: Limits) -> Iterator[np.ndarray]:
    """Measure images, each decoded in a process that may crash or hang without harm.

    Args:
        paths: The images.
        limits: Most pixels, memory and time that an image may take.

    Yields:
        Arrays of shape (images,), of bytes, as wide as the longest: JSON objects with the manifest's columns by name.

    Raises:
        UnfreezeError: The measure of a check fails, or is too long, or a file at an address cannot be read.
    """
    measure = partial(measure_image, max_pixels=limits.max_pixels, checkout=Path.cwd())
    measured = run_on_images(measure, paths, seconds=limits.seconds_per_image, gigabytes=limits.worker_gb)
    rows: list[bytes] = []
    for path, result in measured:
        row = {**_describe_file(path), "reason": result.reason} if isinstance(result, Failure) else result
        rows.append(_encode(path, row))
        if len(rows) == BLOCK:
            yield np.array(rows)
            rows = []
    if rows:
        yield np.array(rows)


def _encode(path: Path, row: dict[str, Any]) -> bytes:
    # NumPy's scalars, which a check may return, know their value in Python.
    text = json.dumps(row, default=lambda value: value.item()).encode()
    if len(text) > MOST_BYTES:
        raise UnfreezeError(
            f"the measures of {path} take {len(text)} bytes as JSON, expected at most {MOST_BYTES}: let the checks "
            "in plugins/ measure less of it"
        )
    return text


def measure_images(
    index: pd.DataFrame, root: Path | RemoteFolder, limits: Limits, measured: Iterable[np.ndarray] | None = None
) -> pd.DataFrame:
    """Measure every image.

    Args:
        index: `path` and `label` of each image, and what else the source says of it.
        root: Folder the paths are relative to.
        limits: Most pixels, memory and time that an image may take.
        measured: The measures of all images in their order; by default `iterate_measures` takes them.

    Returns:
        One row an image: what the index has, then `bytes`, `sha256`, `reason` (empty, or why it cannot be read),
        and for readable images: `width` and `height` in pixels, `mode` and `format` as stored, `suffix_fits`,
        `pictures`, `spare_bits` and `partial_alpha` as in `Decoded`, `pixels_sha256`, `perceptual_hash`, the mean
        `brightness` (0..255), and the measures of the image checks.
    """
    paths = [root / name for name in index["path"]]
    rows: list[dict[str, Any]] = []
    with console.progress("checking images", len(paths)) as advance:
        for block in iterate_measures(paths, limits) if measured is None else measured:
            rows += map(json.loads, block.tolist())
            advance(len(block))
    of_checks = [name for check in load_image_checks().values() for name in check.measures]
    table = pd.DataFrame(rows, columns=["bytes", "sha256", "reason", *MEASURES, *of_checks])
    return pd.concat([index.reset_index(drop=True), table], axis=1)


def measure_image(path: Path, *, max_pixels: int, checkout: Path) -> dict[str, Any]:
    """Measure one image.

    Args:
        path: The file.
        max_pixels: Most pixels it may have, width times height.
        checkout: Folder whose `plugins/` may hold further checks.

    Returns:
        The manifest's columns by name; an image that cannot be read has a `reason` and no measures.

    Raises:
        UnfreezeError: The measure of a check fails.
    """
    row = {**_describe_file(path), "reason": ""}
    try:
        image = decoding.open_image(path, max_pixels=max_pixels)
    except decoding.Undecodable as error:
        return {**row, "reason": str(error)}
    grey = image.rgb.convert("L").resize((MEASURED_SIZE, MEASURED_SIZE), Image.Resampling.BILINEAR)
    row |= {
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "format": image.format,
        "suffix_fits": formats.has_matching_suffix(path, image.format),
        "pictures": image.pictures,
        "spare_bits": image.spare_bits,
        "partial_alpha": image.partial_alpha,
        "pixels_sha256": hashlib.sha256(f"{image.rgb.size}".encode() + image.rgb.tobytes()).hexdigest(),
        # The hash looks at 32x32 pixels, which are as good from here as from the whole image.
        "perceptual_hash": str(imagehash.phash(grey)),
        "brightness": float(np.asarray(grey).mean()),
    }
    picture = Picture(path, image.rgb, grey)
    for check in _load_checks_of(checkout):
        row |= _apply_measures(check, picture)
    return row


def select_usable(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of images that may be used, renumbered.

    Args:
        manifest: The manifest, with its column `verdict`.

    Example:
        >>> manifest = pd.DataFrame({"path": ["a.png", "b.png"], "verdict": ["unreadable", "ok"]})
        >>> select_usable(manifest)["path"].to_dict()
        {0: 'b.png'}
    """
    return manifest[manifest["verdict"] == "ok"].reset_index(drop=True)


@functools.cache
def _load_checks_of(checkout: Path) -> list[ImageCheck]:
    """Return the image checks of a checkout; a process of its own may have started in another folder."""
    with contextlib.chdir(checkout):
        return list(load_image_checks().values())


def _apply_measures(check: ImageCheck, picture: Picture) -> dict[str, Any]:
    try:
        return {name: measure(picture) for name, measure in check.measures.items()}
    except Exception as error:
        raise UnfreezeError(
            f"image check {check.name!r} cannot measure {picture.path} ({type(error).__name__}: {error}): "
            "correct its file"
        ) from error


def _describe_file(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": files.hash_file(path)}
