"""Pictures as JPEG bytes, for pages and tables that embed them."""

import io

import numpy as np
from PIL import Image

JPEG_QUALITY = 80


def encode(picture: Image.Image | np.ndarray, *, side: int) -> bytes:
    """Encode a picture as a JPEG file, shrunk where it is too large.

    Args:
        picture: An RGB image, or a uint8 array of shape (height, width, 3).
        side: Longest side that it may have, pixels.

    Example:
        >>> data = encode(np.zeros((30, 40, 3), np.uint8), side=20)
        >>> decode(data).shape
        (15, 20, 3)
    """
    image = picture.copy() if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return stream.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decode bytes that `encode` returned.

    Args:
        data: A JPEG file.

    Returns:
        uint8 array of shape (height, width, 3).
    """
    return np.asarray(Image.open(io.BytesIO(data)))
