"""What each format and mode becomes, and what is refused."""

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from unfreeze.images.decoding import Undecodable, load_rgb, open_image
from unfreeze.images.formats import SUFFIXES, has_matching_suffix

MEGAPIXEL = 10**6
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
ORIENTATION, PHOTOMETRIC = 274, 262


def flat(mode: str, value: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (16, 8), value)


def grey16(value: int) -> Image.Image:
    return Image.fromarray(np.full((8, 16), value, np.uint16))


def palette(index: int) -> Image.Image:
    image = Image.new("P", (16, 8), index)
    image.putpalette([10, 20, 30, 40, 50, 60])
    return image


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colours: int, pixels: bytes, *, before: bytes = b"") -> bytes:
    """Write a PNG by hand, for what Pillow does not write; pixels begin with each row's filter."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    body = before + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def white_is_zero(tiff: bytes) -> bytes:
    black_is_zero = struct.pack("<HHIHH", PHOTOMETRIC, 3, 1, 1, 0)
    assert tiff.count(black_is_zero) == 1
    return tiff.replace(black_is_zero, struct.pack("<HHIHH", PHOTOMETRIC, 3, 1, 0, 0))


def reason(path: Path, data: bytes) -> str:
    """Return why both ways to read a file, and its bytes alone, are refused."""
    path.write_bytes(data)
    with pytest.raises(Undecodable) as caught:
        open_image(path, max_pixels=MEGAPIXEL)
    text = str(caught.value)
    assert text and "\n" not in text and str(path) not in text
    with pytest.raises(Undecodable, match=re.escape(text)):
        load_rgb(path, 4, max_pixels=MEGAPIXEL)
    with pytest.raises(Undecodable, match=re.escape(text)):
        load_rgb(data, 4, max_pixels=MEGAPIXEL)
    return text


def pixels_of(path: Path, data: bytes) -> np.ndarray:
    path.write_bytes(data)
    return np.asarray(open_image(path, max_pixels=MEGAPIXEL).rgb)


EXACT = {
    "grey PNG": (encoded(flat("L", 77), "PNG"), "L", (77, 77, 77)),
    "one-bit PNG": (encoded(flat("1", 1), "PNG"), "1", WHITE),
    "PNG with a grey half shown": (encoded(flat("LA", (100, 51)), "PNG"), "LA", (224, 224, 224)),
    "PNG": (encoded(flat("RGB", (1, 2, 3)), "PNG"), "RGB", (1, 2, 3)),
    "transparent PNG": (encoded(flat("RGBA", (9, 9, 9, 0)), "PNG"), "RGBA", WHITE),
    "PNG with black four fifths shown": (encoded(flat("RGBA", (0, 0, 0, 204)), "PNG"), "RGBA", (51, 51, 51)),
    "palette PNG": (encoded(palette(1), "PNG"), "P", (40, 50, 60)),
    "palette PNG, transparent": (encoded(palette(1), "PNG", transparency=1), "P", WHITE),
    "palette PNG, partly transparent": (encoded(palette(1), "PNG", transparency=b"\xff\xcc"), "P", (83, 91, 99)),
    "palette PNG, other colour transparent": (encoded(palette(1), "PNG", transparency=0), "P", (40, 50, 60)),
    "PNG with a transparent colour": (encoded(flat("RGB", (1, 2, 3)), "PNG", transparency=(1, 2, 3)), "RGB", WHITE),
    "16-bit grey PNG": (encoded(grey16(0x80FF), "PNG"), "I;16", (128, 128, 128)),
    "16-bit white PNG": (encoded(grey16(0xFFFF), "PNG"), "I;16", WHITE),
    "16-bit PNG": (png(1, 1, 16, 2, bytes.fromhex("00 80ff 01fe ffff")), "RGB", (128, 1, 255)),
    "16-bit PNG with alpha": (png(1, 1, 16, 6, bytes.fromhex("00 80ff 01fe ffff 0000")), "RGBA", WHITE),
    "WebP": (encoded(flat("RGB", (1, 2, 3)), "WEBP", lossless=True), "RGB", (1, 2, 3)),
    "transparent WebP": (encoded(flat("RGBA", (1, 2, 3, 0)), "WEBP", lossless=True), "RGBA", WHITE),
    "BMP": (encoded(flat("RGB", (1, 2, 3)), "BMP"), "RGB", (1, 2, 3)),
    "grey BMP": (encoded(flat("L", 77), "BMP"), "L", (77, 77, 77)),
    "palette BMP": (encoded(palette(1), "BMP"), "P", (40, 50, 60)),
    "one-bit BMP": (encoded(flat("1", 0), "BMP"), "1", BLACK),
    "GIF": (encoded(palette(1), "GIF"), "P", (40, 50, 60)),
    "transparent GIF": (encoded(palette(1), "GIF", transparency=1), "P", WHITE),
    "GIF of two frames": (
        encoded(palette(1), "GIF", save_all=True, append_images=[palette(0)]), "P", (40, 50, 60),
    ),
    "TIFF": (encoded(flat("RGB", (1, 2, 3)), "TIFF"), "RGB", (1, 2, 3)),
    "TIFF of two pages": (
        encoded(flat("L", 5), "TIFF", save_all=True, append_images=[flat("L", 6)]), "L", (5, 5, 5),
    ),
    "one-bit TIFF": (encoded(flat("1", 1), "TIFF", compression="group4"), "1", WHITE),
    "transparent TIFF": (encoded(flat("LA", (9, 0)), "TIFF"), "LA", WHITE),
    "16-bit TIFF": (encoded(grey16(0x80FF), "TIFF", compression="tiff_lzw"), "I;16", (128, 128, 128)),
    "16-bit TIFF where white is 0": (white_is_zero(encoded(grey16(0), "TIFF")), "I;16", WHITE),
    "CMYK TIFF": (encoded(flat("CMYK", (255, 51, 0, 0)), "TIFF"), "CMYK", (0, 204, 255)),
    "CMYK TIFF with black": (encoded(flat("CMYK", (0, 0, 0, 204)), "TIFF"), "CMYK", (51, 51, 51)),
    # Full-range BT.601, as in JFIF: red = Y + 1.402 (Cr - 128) and so on.
    "YCbCr TIFF": (encoded(flat("YCbCr", (100, 50, 200)), "TIFF"), "YCbCr", (200, 75, 0)),
    "white L*a*b* TIFF": (encoded(flat("LAB", (255, 128, 128)), "TIFF"), "LAB", WHITE),
    "black L*a*b* TIFF": (encoded(flat("LAB", (0, 128, 128)), "TIFF"), "LAB", BLACK),
}  # fmt: skip


# JPEG rounds; what is written here has no detail, so it is off by 2 at most.
LOSSY = {
    "JPEG": (encoded(flat("RGB", (200, 100, 50)), "JPEG"), "RGB", (200, 100, 50)),
    "grey JPEG": (encoded(flat("L", 77), "JPEG"), "L", (77, 77, 77)),
    "CMYK JPEG": (encoded(flat("CMYK", (255, 51, 0, 51)), "JPEG"), "CMYK", (0, 163, 204)),
    "JPEG of two pictures": (
        encoded(flat("RGB", (200, 100, 50)), "MPO", save_all=True, append_images=[flat("RGB", BLACK)]),
        "RGB", (200, 100, 50),
    ),
    "red L*a*b* TIFF": (encoded(flat("LAB", (138, 209, 198)), "TIFF"), "LAB", (255, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("kind", [*EXACT, *LOSSY])
def test_pixels_become_rgb(tmp_path: Path, kind: str) -> None:
    data, mode, expected = {**EXACT, **LOSSY}[kind]
    off = 2 if kind in LOSSY else 0
    (tmp_path / "image").write_bytes(data)
    decoded = open_image(tmp_path / "image", max_pixels=MEGAPIXEL)
    assert (decoded.mode, decoded.rgb.mode) == (mode, "RGB")
    assert decoded.format == next(name for name in SUFFIXES if name.lower() in kind.lower())
    assert np.abs(np.asarray(decoded.rgb).astype(int) - expected).max() <= off
    assert np.abs(load_rgb(tmp_path / "image", 4, max_pixels=MEGAPIXEL).astype(int) - expected).max() <= off


# Where the quadrants of a picture stored as a b / c d are seen: top left, top right, bottom left, bottom right.
SEEN = {1: "abcd", 2: "badc", 3: "dcba", 4: "cdab", 5: "acbd", 6: "cadb", 7: "dbca", 8: "bdac", 9: "abcd"}
GREYS = {"a": 20, "b": 90, "c": 160, "d": 230}


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", SEEN)
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int, image_format: str) -> None:
    stored = Image.fromarray(np.kron([[20, 90], [160, 230]], np.ones((64, 96))).astype(np.uint8)).convert("RGB")
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / "image"
    path.write_bytes(encoded(stored, image_format, exif=exif))
    decoded = open_image(path, max_pixels=MEGAPIXEL)
    assert (decoded.width, decoded.height) == ((128, 192) if orientation in (5, 6, 7, 8) else (192, 128))
    for pixels in (np.asarray(decoded.rgb), load_rgb(path, 32, max_pixels=MEGAPIXEL)):
        height, width, _ = pixels.shape
        seen = pixels[height // 4 :: height // 2, width // 4 :: width // 2, 0]
        assert np.abs(seen.ravel().astype(int) - [GREYS[quadrant] for quadrant in SEEN[orientation]]).max() <= 3


def photo(side: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """Draw something smooth, as photographs are, with a grain."""
    width, height = side
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 5, height))
    waves = [128 + 90 * np.sin(x + phase) * np.cos(y - phase) for phase in (0, 1, 2)]
    grain = np.random.default_rng(0).integers(-9, 9, (height, width, 3))
    pixels = np.clip(np.stack(waves, axis=-1) + grain, 0, 255).astype("uint8")
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("side", [(20, 30), (48, 40), (300, 200), (900, 70), (1200, 900)])
def test_a_reduced_jpeg_looks_like_its_original(tmp_path: Path, side: tuple[int, int], mode: str) -> None:
    original = photo(side, mode)
    original.save(tmp_path / "photo.jpg", quality=95)
    original.convert("RGB").save(tmp_path / "photo.png")
    jpeg, whole = (load_rgb(tmp_path / name, 32, max_pixels=2 * MEGAPIXEL) for name in ("photo.jpg", "photo.png"))
    assert jpeg.shape == (32, 32, 3)
    assert np.abs(jpeg.astype(int) - whole).mean() < 5


JPEG = encoded(photo((64, 48)), "JPEG")
PROGRESSIVE = encoded(photo((64, 48)), "JPEG", progressive=True)
START_OF_SCAN = b"\xff\xda"
PASSING = {
    "bytes behind the end": JPEG + b"more",
    "no end marker": JPEG[:-2],
    "an unknown revision of JFIF": JPEG.replace(b"JFIF\0\1", b"JFIF\0\7"),
    "bytes between segments": JPEG[:20] + b"junk" + JPEG[20:],
    "a broken colour profile": JPEG[:2] + b"\xff\xe2\x00\x10ICC_PROFILE\0\x09\x02" + JPEG[2:],
    "broken EXIF": JPEG[:2] + b"\xff\xe1\x00\x0eExif\0\0\xff\xff\xff\xff" + JPEG[2:],
}


@pytest.mark.parametrize("kind", PASSING)
def test_a_jpeg_whose_pixels_are_whole_passes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image"
    assert np.array_equal(pixels_of(path, PASSING[kind]), pixels_of(path, JPEG))
    path.write_bytes(JPEG)
    expected = load_rgb(path, 16, max_pixels=MEGAPIXEL)
    path.write_bytes(PASSING[kind])
    assert np.array_equal(load_rgb(path, 16, max_pixels=MEGAPIXEL), expected)


def test_a_progressive_jpeg_without_its_end_marker_passes(tmp_path: Path) -> None:
    path = tmp_path / "image"
    assert np.array_equal(pixels_of(path, PROGRESSIVE[:-2]), pixels_of(path, PROGRESSIVE))


def behind_the_scans_start(data: bytes) -> int:
    start = data.index(START_OF_SCAN)
    return start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


MIDDLE = (behind_the_scans_start(JPEG) + len(JPEG)) // 2
REFUSED = {
    "nothing": (b"", "the file is empty"),
    "text": (b"a picture of a cat", "text, which begins with 'a picture of a cat'"),
    "another format": (encoded(flat("RGB", (1, 2, 3)), "PCX"), "a PCX image: convert it to PNG"),
    "a header that breaks off": (JPEG[:100], "Truncated File Read"),
    "the beginning of a header": (JPEG[:3], "a JPEG image whose header is damaged"),
    "a JPEG that breaks off": (JPEG[:MIDDLE], "premature end"),
    "a JPEG that breaks off before its end marker": (JPEG[:MIDDLE] + JPEG[-2:], "premature end"),
    "a JPEG with bytes left over": (JPEG[:-2] + JPEG[-66:], r"\d+ extraneous bytes"),
    "a progressive JPEG that lacks scans": (PROGRESSIVE[: PROGRESSIVE.rindex(START_OF_SCAN)], "scans .* missing"),
    "integers of 32 bits": (encoded(flat("I", 7), "TIFF"), "32.* do not say what is black and white"),
    "floats": (encoded(Image.new("F", (16, 8), 0.5), "TIFF"), "F.* do not say what is black and white"),
    "a 16-bit transparent colour": (
        png(1, 1, 16, 0, b"\0\x80\xff", before=chunk(b"tRNS", b"\x80\xff")), "16-bit pixels with a transparent",
    ),
    "coarse YCbCr": (
        encoded(flat("YCbCr", (1, 2, 3)), "TIFF", tiffinfo={530: (2, 2)}), "colours are coarser",
    ),
    "an enormous header": (png(60_000, 60_000, 8, 2, b""), "60000 x 60000 pixels are more than 1,000,000"),
    "a bomb": (encoded(Image.new("1", (5000, 5000)), "PNG"), "5000 x 5000 pixels are more than 1,000,000"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_does_not_become_pixels_is_refused_with_a_reason(tmp_path: Path, kind: str) -> None:
    data, expected = REFUSED[kind]
    path = tmp_path / "image"
    assert re.search(expected, reason(path, data))


@pytest.mark.parametrize("image_format", sorted(set(SUFFIXES) - {"HEIF"}))
def test_one_half_of_a_file_is_refused(tmp_path: Path, image_format: str) -> None:
    data = encoded(photo((64, 48)), image_format)
    assert reason(tmp_path / "image", data[: len(data) // 2])


def test_each_changed_byte_of_a_png_is_noticed_up_to_its_end(tmp_path: Path) -> None:
    data = encoded(photo((6, 4)), "PNG")
    for position in range(len(data)):
        reason(tmp_path / "image", data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
    assert pixels_of(tmp_path / "image", data + b"more").shape == (4, 6, 3)


def test_a_limit_above_pillows_own_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(png(20_000, 10_000, 1, 0, b""))
    with pytest.raises(Undecodable, match="truncated"):
        open_image(tmp_path / "image", max_pixels=200 * MEGAPIXEL)


@pytest.mark.parametrize("name", ["missing.jpg", "folder.jpg"])
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(Undecodable, match=r"^(No such file or directory|Is a directory)$"):
        open_image(tmp_path / name, max_pixels=MEGAPIXEL)


@pytest.mark.parametrize("side", [(61, 47), (300, 201), (900, 700), (64, 900)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_becomes_the_square_that_three_lines_of_pillow_give(
    tmp_path: Path, side: tuple[int, int], options: dict[str, object], mode: str
) -> None:
    path = tmp_path / "photo.jpg"
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    path.write_bytes(encoded(photo(side).convert(mode), "JPEG", exif=turned, **options))
    with Image.open(path) as image:
        image.draft(None, (32, 32))
        upright = ImageOps.exif_transpose(image).convert("RGB")
    expected = np.asarray(upright.resize((32, 32), Image.Resampling.BICUBIC, reducing_gap=3.0))
    assert np.array_equal(load_rgb(path, 32, max_pixels=MEGAPIXEL), expected)


FURTHER = {
    "PPM": (encoded(flat("RGB", (1, 2, 3)), "PPM"), "PPM", "RGB", (1, 2, 3)),
    "PGM": (encoded(flat("L", 77), "PPM"), "PPM", "L", (77, 77, 77)),
    "PBM": (encoded(flat("1", 1), "PPM"), "PPM", "1", WHITE),
    "plain PPM": (b"P3 2 1 255\n9 8 7  9 8 7\n", "PPM", "RGB", (9, 8, 7)),
    "PGM whose white is 100": (b"P2 2 1 100\n50 50\n", "PPM", "L", (128, 128, 128)),
    "PGM whose white is 4095": (b"P5 2 1 4095\n\x08\x00\x08\x00", "PPM", "I", (128, 128, 128)),
    "dark PGM whose white is 4095": (b"P5 2 1 4095\n\x00\x20\x00\x20", "PPM", "I", (2, 2, 2)),
    "JPEG 2000": (encoded(flat("RGB", (1, 2, 3)), "JPEG2000"), "JPEG2000", "RGB", (1, 2, 3)),
    "grey JPEG 2000 with alpha": (encoded(flat("LA", (9, 0)), "JPEG2000"), "JPEG2000", "LA", WHITE),
    "16-bit JPEG 2000": (encoded(grey16(0x80FF), "JPEG2000"), "JPEG2000", "I;16", (128, 128, 128)),
    "AVIF": (encoded(flat("RGB", (90, 90, 90)), "AVIF", quality=100), "AVIF", "RGB", (90, 90, 90)),
    "transparent AVIF": (encoded(flat("RGBA", (9, 9, 9, 0)), "AVIF"), "AVIF", "RGBA", WHITE),
}  # fmt: skip


@pytest.mark.parametrize("kind", FURTHER)
def test_further_formats_become_rgb(tmp_path: Path, kind: str) -> None:
    data, image_format, mode, expected = FURTHER[kind]
    (tmp_path / "image").write_bytes(data)
    decoded = open_image(tmp_path / "image", max_pixels=MEGAPIXEL)
    assert (decoded.format, decoded.mode, decoded.rgb.getpixel((0, 0))) == (image_format, mode, expected)
    assert load_rgb(tmp_path / "image", 4, max_pixels=MEGAPIXEL)[0, 0].tolist() == list(expected)


@pytest.mark.parametrize("kind", [*EXACT, *LOSSY, *PASSING, *FURTHER])
def test_bytes_give_the_pixels_of_their_file(tmp_path: Path, kind: str) -> None:
    given = {**EXACT, **LOSSY, **PASSING, **FURTHER}[kind]
    data = given if isinstance(given, bytes) else given[0]
    (tmp_path / "image").write_bytes(data)
    expected = load_rgb(tmp_path / "image", 8, max_pixels=MEGAPIXEL)
    assert np.array_equal(load_rgb(data, 8, max_pixels=MEGAPIXEL), expected)
    assert np.array_equal(np.asarray(open_image(data, max_pixels=MEGAPIXEL).rgb), pixels_of(tmp_path / "image", data))


TWO = {"save_all": True, "append_images": [flat("L", 200)]}


@pytest.mark.parametrize(
    ("data", "pictures"),
    [
        (encoded(flat("L", 5), "TIFF"), 1),
        (encoded(flat("L", 5), "TIFF", **TWO), 2),
        (encoded(palette(1), "GIF", save_all=True, append_images=[palette(0), palette(1)]), 3),
        (encoded(flat("L", 5), "WEBP", **TWO), 2),
        (encoded(flat("L", 5), "PNG", **TWO), 2),
        (encoded(flat("L", 5), "AVIF", **TWO), 2),
        # Cameras add previews to a JPEG.
        (encoded(flat("RGB", BLACK), "MPO", save_all=True, append_images=[flat("RGB", BLACK)]), 1),
    ],
    ids=["TIFF", "TIFF of two pages", "GIF", "WebP", "PNG", "AVIF", "JPEG"],
)
def test_further_pictures_of_a_file_are_counted(tmp_path: Path, data: bytes, pictures: int) -> None:
    (tmp_path / "image").write_bytes(data)
    assert open_image(tmp_path / "image", max_pixels=MEGAPIXEL).pictures == pictures


def test_a_second_page_that_is_damaged_leaves_the_first(tmp_path: Path) -> None:
    data = encoded(flat("L", 5), "TIFF", **TWO)
    second = data.rindex(struct.pack("<HHI", 256, 4, 1)) - 2
    (tmp_path / "image").write_bytes(data[: second + 5])
    decoded = open_image(tmp_path / "image", max_pixels=MEGAPIXEL)
    assert (decoded.pictures, decoded.rgb.getpixel((0, 0))) == (2, (5, 5, 5))


def half_transparent(alpha: list[int]) -> bytes:
    image = flat("RGBA", (9, 9, 9, 255))
    image.putalpha(Image.fromarray(np.resize(np.array(alpha, np.uint8), (8, 16))))
    return encoded(image, "PNG")


@pytest.mark.parametrize(
    ("data", "share"),
    [
        (encoded(flat("RGB", BLACK), "PNG"), 0),
        (half_transparent([0, 255]), 0),
        (half_transparent([0, 128, 255, 255]), 0.25),
        (half_transparent([1, 50, 100, 255]), 0.75),
        # No opaque pixel: nothing of the picture is as it was taken.
        (half_transparent([0]), 1),
    ],
    ids=["no alpha", "cut out", "soft edge", "band", "nothing opaque"],
)
def test_the_share_of_partly_transparent_pixels_is_known(tmp_path: Path, data: bytes, share: float) -> None:
    (tmp_path / "image").write_bytes(data)
    assert open_image(tmp_path / "image", max_pixels=MEGAPIXEL).partial_alpha == share


def test_suffixes_match_their_format_in_any_case() -> None:
    assert has_matching_suffix(Path("a.JPG"), "JPEG")
    assert has_matching_suffix(Path("a.b.tif"), "TIFF")
    assert not has_matching_suffix(Path("a.jpg"), "PNG")
    assert not has_matching_suffix(Path("jpg"), "JPEG")
