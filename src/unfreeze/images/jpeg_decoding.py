"""JPEG files to pixels, strictly: nothing is made up where data is missing."""

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np
import simplejpeg
from PIL import Image

# By what libjpeg can divide the sides of a JPEG while it decodes.
LARGEST_JPEG_FACTOR = 8
# JPEG markers (T.81, table B.1) that begin a segment: neither stuffing nor restarts, nor the end of the image.
JPEG_SEGMENT = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
START_OF_SCAN, APP0, APP14, APP15, COMMENT = 0xDA, 0xE0, 0xEE, 0xEF, 0xFE
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ALL_COEFFICIENTS = 2**64 - 1


class Undecodable(ValueError):  # noqa: N818
    """A file that does not become pixels; the message is the reason, one line, without the path."""


def decode_jpeg(data: bytes, header: Image.Image, colours: Literal["RGB", "CMYK"], *, factor: int = 1) -> np.ndarray:
    """Decode a JPEG strictly; Pillow and OpenCV fill with grey what libjpeg only warns of.

    Args:
        data: The file's bytes.
        header: Its header as Pillow reads it.
        colours: What its pixels become; inks stay inverted, as they are stored.
        factor: By what its sides are divided while decoding: 1, 2, 4 or 8.

    Returns:
        uint8 array of shape (height, width, 3 or 4), sides rounded up.

    Raises:
        Undecodable: Pixels are missing, or two headers contradict each other.
        ValueError: libjpeg warns of the pixels.
    """
    height, width, *_ = simplejpeg.decode_jpeg_header(data, strict=False)
    if (width, height) != header.size:
        raise Undecodable("two headers of a JPEG contradict each other")
    scale = {"min_height": -(-height // factor), "min_width": -(-width // factor), "min_factor": factor}
    try:
        pixels = simplejpeg.decode_jpeg(data, colours, **scale)
    except ValueError:
        pixels = simplejpeg.decode_jpeg(_strip_header(data), colours, **scale)
    if not _has_all_coefficients(data):
        raise Undecodable("scans of a JPEG are missing")
    return np.asarray(pixels)


def _iterate_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, the start and the end of each segment up to the end of the image; pixels belong to none."""
    position = len(START_OF_IMAGE)
    while (found := JPEG_SEGMENT.search(data, position)) and found[0] != END_OF_IMAGE:
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
        yield found[1][0], found.start(), position


def _strip_header(data: bytes) -> bytes:
    """Return a JPEG with an end, and without what may make libjpeg warn though it touches no pixel."""
    parts = [START_OF_IMAGE]
    for marker, start, end in _iterate_segments(data):
        if marker == START_OF_SCAN:
            return b"".join([*parts, data[start:], END_OF_IMAGE])
        if marker == APP0 and data[start + 4 : start + 9] == b"JFIF\0":
            # The revision is 1.01; the marker itself tells libjpeg that colours are YCbCr.
            parts.append(data[start : start + 9] + b"\1\1" + data[start + 11 : end])
        elif marker == APP14 or marker not in (*range(APP0, APP15 + 1), COMMENT):
            parts.append(data[start:end])
    return data


def _has_all_coefficients(data: bytes) -> bool:
    """Tell whether a JPEG's scans hold each coefficient of each component to its last bit.

    A progressive JPEG can end, or be cut, between two scans. libjpeg smooths over what is missing and says nothing.
    """
    missing: dict[int, int] = {}
    for marker, start, end in _iterate_segments(data):
        segment = data[start + 4 : end]
        if marker in START_OF_FRAME:
            missing = {segment[6 + 3 * number]: ALL_COEFFICIENTS for number in range(segment[5])}
        if marker != START_OF_SCAN:
            continue
        # T.81, B.2.3: components, then the first and last coefficient, then how many bits are left out (low nibble).
        components = segment[1 : 1 + 2 * segment[0] : 2]
        first, last, bits = segment[1 + 2 * segment[0] : 4 + 2 * segment[0]]
        if bits & 0x0F == 0:
            for component in components:
                missing[component] &= ~((2 << last) - (1 << first))
        if not any(missing.values()):
            return True
    return False
