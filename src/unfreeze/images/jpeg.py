"""Pictures as bytes, for pages and tables that carry them."""

import io

import numpy as np
from PIL import Image

JPEG_QUALITY = 80


def jpeg(picture: Image.Image | np.ndarray, *, side: int) -> bytes:
    """Return a picture as a JPEG file.

    Args:
        picture: An RGB image, or a uint8 array of shape (height, width, 3).
        side: Longest side it may have, pixels; a larger picture is made smaller.
    """
    image = picture.copy() if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def pixels(data: bytes) -> np.ndarray:
    """Return the pixels of a JPEG file, uint8 of shape (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(data)))
