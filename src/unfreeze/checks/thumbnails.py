"""Small grey versions of images, for comparing images.

A module of its own, since the processes that draw thumbnails import it: it must import little.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from unfreeze.images import decoding
from unfreeze.images.isolated import ImageFile, run_on_images
from unfreeze.runtime.isolated_map import Failure
from unfreeze.settings.checks import Limits

# Side of a thumbnail, pixels: keeps the differences between two photographs of one scene, removes encoder noise.
COMPARED_SIZE = 64
# Smallest divisor in normalising; an image of one colour has norm 0.
SMALLEST_NORM = 1e-6


def draw_thumbnails(paths: Sequence[ImageFile], limits: Limits) -> np.ndarray:
    """Draw a thumbnail of each image, in processes that may crash without harm.

    Args:
        paths: The files.
        limits: Most pixels, memory and time that an image may take.

    Returns:
        float32 array of shape (images, 64 * 64), each row of mean 0 and norm 1; zeros where decoding failed.
    """
    draw = partial(draw_thumbnail, max_pixels=limits.max_pixels)
    shown = run_on_images(draw, paths, seconds=limits.seconds_per_image, gigabytes=limits.worker_gb)
    nothing = np.zeros(COMPARED_SIZE**2, np.float32)
    return np.stack([nothing if isinstance(one, Failure) else one for _, one in shown])


def draw_thumbnail(path: Path, *, max_pixels: int) -> np.ndarray:
    """Draw the thumbnail of one image.

    Args:
        path: The file.
        max_pixels: Most pixels it may have, width times height.

    Returns:
        float32 array of shape (64 * 64,): grey levels, of mean 0 and norm 1.
    """
    rgb = decoding.open_image(path, max_pixels=max_pixels).rgb
    size = (COMPARED_SIZE, COMPARED_SIZE)
    grey = np.asarray(rgb.convert("L").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0), np.float32).ravel()
    grey = grey - grey.mean()
    return np.asarray(grey / max(float(np.linalg.norm(grey)), SMALLEST_NORM))
