"""Small valid images of every format and mode, and seeded ways to damage them."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

SIDES = (32, 24)
# Values at which decoders tend to go wrong: nothing, everything, and the largest signed numbers.
EXTREMES = (b"\x00\x00", b"\xff\xff", b"\x7f\xff", b"\xff\x7f", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff")
HEADER_BYTES = 64

# Format, mode and how Pillow is to save it.
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    *(("JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")),
    *(("JPEG", mode, {"progressive": True}) for mode in ("RGB", "L")),
    ("JPEG", "RGB", {"restart_marker_rows": 1}),
    ("MPO", "RGB", {"save_all": True}),
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (False, True)),
    *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(
        ("TIFF", mode, {"compression": compression})
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16")
        for compression in ("raw", "tiff_lzw")
    ),
    *(("TIFF", "RGB", {"compression": name}) for name in ("packbits", "tiff_adobe_deflate", "jpeg", "zstd", "lzma")),
    *(("TIFF", "1", {"compression": name}) for name in ("group3", "group4")),
    *(("GIF", mode, {}) for mode in ("L", "P")),
    ("GIF", "P", {"interlace": 1}),
    *(("PPM", mode, {}) for mode in ("1", "L", "RGB", "I;16")),
    *(("AVIF", mode, {}) for mode in ("L", "RGB", "RGBA")),
    *(("JPEG2000", mode, {"no_jp2": bare}) for mode in ("L", "LA", "RGB", "I;16") for bare in (False, True)),
]


@dataclass(frozen=True)
class Sample:
    """A file.

    Args:
        format: What it was before it was damaged.
        kind: Format, mode and options, in one word.
        damage: What was done to it.
        original: Its bytes before that.
        data: Its bytes.
    """

    format: str
    kind: str
    damage: str
    original: bytes
    data: bytes


@cache
def original(number: int) -> Sample:
    """Return a valid file of one of the kinds."""
    image_format, mode, options = KINDS[number]
    stream = io.BytesIO()
    _draw(mode).save(stream, image_format, **options)
    kind = " ".join([image_format, mode, *(str(value) for value in options.values())])
    data = stream.getvalue()
    return Sample("JPEG" if image_format == "MPO" else image_format, kind, "none", data, data)


def damaged(seed: int) -> Sample:
    """Return a damaged file; the same seed gives the same bytes."""
    random = np.random.default_rng(seed)
    whole = original(int(random.integers(len(KINDS))))
    damage = DAMAGES[int(random.integers(len(DAMAGES)))]
    return Sample(whole.format, whole.kind, damage.__name__, whole.data, damage(whole.data, random))


def _draw(mode: str) -> Image.Image:
    """Draw something between a photograph and noise, so that no compression makes it tiny."""
    width, height = SIDES
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(1))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "LAB":
        return Image.merge("LAB", image.split())
    if mode in ("LA", "RGBA"):
        image.putalpha(image.convert("L"))
    return image.convert(mode)


def truncate(data: bytes, random: np.random.Generator) -> bytes:
    return data[: random.integers(len(data))]


def change_bytes(data: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(random.integers(1, 9)):
        changed[random.integers(len(data))] ^= random.integers(1, 256)
    return bytes(changed)


def clear_a_block(data: bytes, random: np.random.Generator) -> bytes:
    start, end = sorted(random.integers(len(data) + 1, size=2))
    return data[:start] + bytes(end - start) + data[end:]


def swap_blocks(data: bytes, random: np.random.Generator) -> bytes:
    a, b, c = sorted(random.integers(len(data) + 1, size=3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def edit_the_header(data: bytes, random: np.random.Generator) -> bytes:
    value = EXTREMES[random.integers(len(EXTREMES))]
    start = random.integers(HEADER_BYTES)
    return data[:start] + value + data[start + len(value) :]


def insert(data: bytes, random: np.random.Generator) -> bytes:
    start = random.integers(len(data) + 1)
    return data[:start] + random.bytes(int(random.integers(1, 65))) + data[start:]


def delete(data: bytes, random: np.random.Generator) -> bytes:
    start = random.integers(len(data))
    return data[:start] + data[start + random.integers(1, 65) :]


DAMAGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (
    truncate,
    change_bytes,
    clear_a_block,
    swap_blocks,
    edit_the_header,
    insert,
    delete,
)
