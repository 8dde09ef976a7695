"""16-bit images that use 8, 12 or all of their bits."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from unfreeze.images.decoding import load_rgb, open_image


def write(folder: Path, values: np.ndarray, suffix: str) -> Path:
    """Write 16-bit grey, RGB or RGBA values with OpenCV, which Pillow cannot."""
    order = values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]
    path = folder / f"image{suffix}"
    assert cv2.imwrite(str(path), order)
    return path


def read(path: Path) -> tuple[np.ndarray, int]:
    """Return the pixels and the number of bits used, and require that both ways to read a file agree."""
    decoded = open_image(path, max_pixels=10**6)
    assert np.array_equal(load_rgb(path, 4, max_pixels=10**6), np.asarray(decoded.rgb))
    return np.asarray(decoded.rgb), 16 - decoded.spare_bits


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
@pytest.mark.parametrize(("bits", "largest"), [(8, 255), (8, 1), (12, 256), (12, 4095), (16, 4096), (16, 65_535)])
def test_pixels_keep_the_upper_bits_of_those_used(tmp_path: Path, suffix: str, bits: int, largest: int) -> None:
    values = np.linspace(0, largest, 48).astype(np.uint16)
    colours, used = read(write(tmp_path, values.reshape(4, 4, 3), suffix))
    assert used == bits
    # Pillow rounds colours of a PPM, and cuts off those of other formats.
    assert np.abs(colours.ravel().astype(int) - (values >> (bits - 8))).max() <= (suffix == ".ppm" and bits == 16)
    grey = values[-16:].reshape(4, 4)
    pixels, used = read(write(tmp_path, grey, ".pgm" if suffix == ".ppm" else suffix))
    assert used == bits
    assert np.array_equal(pixels, np.repeat((grey >> (bits - 8))[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("opaque", [255, 4095, 65_535])
def test_an_alpha_channel_has_its_own_white(tmp_path: Path, suffix: str, opaque: int) -> None:
    values = np.full((4, 4, 4), 200, np.uint16)
    values[..., 3] = opaque
    values[0, 0, 3] = 0
    pixels, used = read(write(tmp_path, values, suffix))
    assert used == 8
    assert pixels[1, 1].tolist() == [200, 200, 200]
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_one_bright_pixel_keeps_an_image_of_16_bits_as_it_is(tmp_path: Path) -> None:
    values = np.full((4, 4), 200, np.uint16)
    values[0, 0] = 4096
    assert read(write(tmp_path, values, ".png"))[0].ravel()[:4].tolist() == [16, 16, 16, 0]


def test_an_image_of_zeros_is_black_and_not_of_8_bits(tmp_path: Path) -> None:
    pixels, used = read(write(tmp_path, np.zeros((4, 4), np.uint16), ".png"))
    assert (pixels.max(), used) == (0, 16)


def test_twelve_bits_where_white_is_0_are_turned_around(tmp_path: Path) -> None:
    stream = io.BytesIO()
    values = np.full((4, 4), 4095, np.uint16)
    values[0, 0] = 0
    Image.fromarray(values).save(stream, "TIFF")
    # The tag of what 0 means: black, as Pillow writes it, or white.
    black, white = (bytes.fromhex(f"0601 0300 01000000 0{value}00") for value in (1, 0))
    assert stream.getvalue().count(black) == 1
    (tmp_path / "image.tiff").write_bytes(stream.getvalue().replace(black, white))
    assert read(tmp_path / "image.tiff")[0][:, :, 0].ravel()[:2].tolist() == [255, 0]
