"""16-bit pixels to 8 bits, also where a file uses only the lower 8 or 12 of them.

Scanners, X-ray machines and cameras store 12 bits in 16, and converted pictures 8. Their upper byte alone would be
nearly or wholly black. So each image is taken to have the fewest bits of 8, 12 and 16 that hold its largest value,
and keeps the upper 8 of these. The rule looks at one image alone: it gives the same pixels in each set and stage. It
also brightens an image of 16 bits that is dark throughout; the check `partial_range` finds both.
"""

import cv2
import numpy as np
from PIL import Image

from unfreeze.images.jpeg_decoding import Undecodable

# Images are decoded in parallel already; threads of OpenCV would only compete with that.
cv2.setNumThreads(1)
DEPTHS = (8, 12, 16)
# Of 16 bits; a format that names its largest value states what is white.
WHITE = 65_535
# Upper byte of 4,095, the largest value of 12 bits, rounded as Pillow does for PPM.
MOST_OF_12_BITS = 16


def find_used_bits(largest: int) -> int:
    """Return the fewest bits of 8, 12 and 16 that hold an image's largest value; 16 for an image of zeros.

    >>> find_used_bits(255), find_used_bits(256), find_used_bits(4096), find_used_bits(0)
    (8, 12, 16, 16)
    """
    if largest == 0:
        return DEPTHS[-1]
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def is_deep(header: Image.Image) -> bool:
    """Tell whether a file holds more than 8 bits a colour.

    Args:
        header: Its header, before pixels are loaded. Of colours Pillow would decode the upper 8 bits.
    """
    if header.mode == "I" or header.mode.startswith("I;16"):
        return True
    return header.mode in ("RGB", "RGBA", "LA") and (";16" in read_raw_mode(header) or _read_white(header) == WHITE)


def read_raw_mode(header: Image.Image) -> str:
    """Return Pillow's name for how pixels are stored, such as RGB;16B; '' where it has none."""
    tiles = getattr(header, "tile", None)
    arguments = tiles[0].args if tiles else None
    return str(arguments[0]) if isinstance(arguments, tuple) else str(arguments or "")


def reduce_grey(image: Image.Image, *, is_scaled: bool) -> tuple[np.ndarray, int]:
    """Reduce 16-bit grey values.

    Args:
        image: Loaded pixels of mode I;16, or I with values from 0 to 65,535.
        is_scaled: Whether the file states what is white, and values are scaled to it: then all 16 bits count.

    Returns:
        uint8 array of shape (height, width), and the number of bits used.
    """
    values = np.asarray(image)
    bits = DEPTHS[-1] if is_scaled else find_used_bits(int(values.max()))
    return (values >> (bits - 8)).astype(np.uint8), bits


def has_stated_white(header: Image.Image) -> bool:
    """Tell whether a PGM or PPM file of more than 8 bits names another largest value than 65,535."""
    return _read_white(header) not in (0, WHITE)


def restore_colours(image: Image.Image, data: bytes) -> tuple[Image.Image, int]:
    """Return colours with the bits that a file uses, where Pillow has kept the upper 8 of 16 that are mostly empty.

    Args:
        image: What Pillow has decoded: RGB, RGBA or LA.
        data: The file's bytes.

    Returns:
        The picture in the same mode, and the number of bits used; the same picture where it uses the upper bits.

    Raises:
        Undecodable: The second decoder, which knows all 16 bits, reads another picture than the first.
    """
    upper = np.asarray(image)
    colours = 1 if image.mode == "LA" else 3
    if upper[..., :colours].max() > MOST_OF_12_BITS:
        return image, DEPTHS[-1]
    values = _decode_deep(data, image)
    if values is None or np.abs((values >> 8).astype(int) - upper).max() > 1:
        raise Undecodable("16-bit colours that two decoders read differently: store 8 bits")
    bits = find_used_bits(int(values[..., :colours].max()))
    if bits == DEPTHS[-1]:
        return image, bits
    reduced = (values >> (bits - 8)).clip(max=255).astype(np.uint8)
    if image.mode != "RGB":
        # An alpha channel uses all 16 bits or the same as the colours.
        alpha_bits = find_used_bits(int(values[..., -1].max()))
        reduced[..., -1] = values[..., -1] >> (alpha_bits - 8)
    return Image.fromarray(reduced, image.mode), bits


def _decode_deep(data: bytes, image: Image.Image) -> np.ndarray | None:
    """Decode 16-bit colours with OpenCV, in the order of Pillow's bands; None if it cannot."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        return None
    values = values[..., [2, 1, 0, 3][: values.shape[2]]]
    if image.mode == "LA" and values.shape[2] == 4:
        values = values[..., [0, 3]]
    return values if values.shape == np.asarray(image).shape else None


def _read_white(header: Image.Image) -> int:
    """Return the largest value that a PPM or PGM file names; 0 for other formats and for 8 bits."""
    if header.format != "PPM":
        return 0
    if read_raw_mode(header) == "I;16B":
        return WHITE
    tiles = getattr(header, "tile", None)
    arguments = tiles[0].args if tiles else ()
    named = arguments[1] if isinstance(arguments, tuple) and header.mode in ("I", "RGB") else 0
    return int(named) if int(named) > 255 else 0
