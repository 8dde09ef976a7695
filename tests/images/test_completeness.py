"""JPEG 2000 files that break off; what a PNG's checksums show is in test_decoding.py."""

import io

import numpy as np
import pytest
from PIL import Image

from unfreeze.images.completeness import verify_jpeg2000
from unfreeze.images.jpeg_decoding import Undecodable

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))


def encoded(**options: object) -> bytes:
    stream = io.BytesIO()
    NOISE.save(stream, "JPEG2000", **options)
    return stream.getvalue()


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}, {"tile_size": (16, 16)}], ids=["boxes", "bare", "tiles"])
def test_a_codestream_goes_on_to_its_end(options: dict[str, object]) -> None:
    data = encoded(**options)
    verify_jpeg2000(data)
    for length in range(len(data)):
        with pytest.raises(Undecodable, match="the file breaks off"):
            verify_jpeg2000(data[:length])


def test_a_tile_whose_length_is_not_given_goes_on_to_the_end() -> None:
    data = bytearray(encoded(no_jp2=True))
    tile = data.index(b"\xff\x90")
    data[tile + 6 : tile + 10] = bytes(4)
    verify_jpeg2000(bytes(data))
    with pytest.raises(Undecodable):
        verify_jpeg2000(bytes(data[:-2]))
