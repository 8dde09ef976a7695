"""Small grey versions of images, to compare images by.

In a module of its own: the processes that draw them load it, and little else.
"""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from unfreeze.images import decoding
from unfreeze.runtime.isolated_map import Failure, run_isolated
from unfreeze.settings.checks import Limits

# Side of what two images are compared on, pixels: what makes two photographs of one scene differ is still there,
# the noise of an encoder is not.
COMPARED_SIZE = 64
# Of an image of one colour nothing is left.
SMALLEST_NORM = 1e-6


def draw_thumbnails(paths: list[Path], limits: Limits) -> np.ndarray:
    """Return what images are compared on: float32 array of shape (images, 64 * 64), zeros where decoding failed."""
    draw = partial(draw_thumbnail, max_pixels=limits.max_pixels)
    shown = run_isolated(draw, paths, seconds=limits.seconds_per_image, gigabytes=limits.worker_gb)
    nothing = np.zeros(COMPARED_SIZE**2, np.float32)
    return np.stack([nothing if isinstance(one, Failure) else one for one in shown])


def draw_thumbnail(path: Path, *, max_pixels: int) -> np.ndarray:
    """Return the grey levels of a small square version of an image, of mean 0 and norm 1."""
    rgb = decoding.open_image(path, max_pixels=max_pixels).rgb
    size = (COMPARED_SIZE, COMPARED_SIZE)
    grey = np.asarray(rgb.convert("L").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0), np.float32).ravel()
    grey = grey - grey.mean()
    return grey / max(float(np.linalg.norm(grey)), SMALLEST_NORM)
