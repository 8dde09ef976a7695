"""Image files of each kind that a decoder may read otherwise than another."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from tests.serving.packed import EXTRACT, MAX_PIXELS, draw_image
from unfreeze.images import store
from unfreeze.settings.training import Extract

ORIENTATION = 274


def _grey16(largest: int) -> Image.Image:
    ramp = np.linspace(0, largest, 48 * 40).reshape(40, 48)
    return Image.fromarray(ramp.astype(np.uint16))


def _to_lab(picture: Image.Image) -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(*profiles, "RGB", "LAB").apply(picture)


def write_golden(folder: Path) -> list[Path]:
    """Write the files, each another picture, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    picture, large = draw_image("red", 1), draw_image("blue", 2, size=(330, 271))
    shaded = draw_image("green", 3).convert("RGBA")
    shaded.putalpha(Image.linear_gradient("L").resize(shaded.size))
    grey_shaded = Image.merge("LA", [draw_image("green", 4).convert("L"), shaded.getchannel("A")])
    pages = [draw_image("red", 5), draw_image("blue", 5)]
    several = {"save_all": True, "append_images": pages[1:]}
    written = {
        "large.jpg": (large, {}),
        "progressive.jpg": (large, {"progressive": True}),
        "turned.jpg": (large, {"exif": turned}),
        "broken_exif.jpg": (large, {"exif": b"Exif\0\0II*\0\x08\0\0\0\xff\xff"}),
        "grey.jpg": (large.convert("L"), {}),
        "cmyk.jpg": (large.convert("CMYK"), {}),
        "turned.png": (picture, {"exif": turned}),
        "turned.webp": (picture, {"exif": turned, "lossless": True}),
        "turned.tif": (picture, {"exif": turned}),
        "lossy.webp": (picture, {"quality": 60}),
        "animated.webp": (pages[0], several),
        "animated.gif": (pages[0], several),
        "animated.png": (pages[0], several),
        "pages.tif": (pages[0], {**several, "compression": "tiff_lzw"}),
        "cmyk.tif": (picture.convert("CMYK"), {}),
        "lab.tif": (_to_lab(picture), {}),
        "alpha.png": (shaded, {}),
        "alpha.webp": (shaded, {"lossless": True}),
        "grey_alpha.png": (grey_shaded, {}),
        "palette.png": (picture.quantize(16), {}),
        "palette_transparent.png": (picture.quantize(16), {"transparency": 3}),
        "colour_transparent.png": (picture, {"transparency": picture.getpixel((0, 0))}),
        "grey.png": (picture.convert("L"), {}),
        "one_bit.png": (picture.convert("1"), {}),
        "deep.png": (_grey16(65_535), {}),
        "deep_12_bits.png": (_grey16(4_000), {}),
        "deep_8_bits.tif": (_grey16(200), {}),
        "deep_black.png": (_grey16(0), {}),
        "deep_turned.png": (_grey16(30_000), {"exif": turned}),
        "picture.bmp": (picture, {}),
        "picture.ppm": (picture, {}),
        "picture.jp2": (picture, {}),
        "lossy.avif": (large, {}),
        "turned.avif": (picture, {"exif": turned}),
        "alpha.avif": (shaded, {}),
    }
    for name, (image, options) in written.items():
        image.save(folder / name, **options)
    # PGM of 16 bits, whose header names what is white: all bits of the one, 12 of the other.
    values = np.asarray(_grey16(3_000)).astype(">u2").tobytes()
    for white in (65_535, 4_095):
        (folder / f"white_{white}.pgm").write_bytes(b"P5 48 40 %d\n" % white + values)
    return sorted(folder.iterdir())


def read_golden() -> dict[str, bytes]:
    """Return the content of the files by their names."""
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in write_golden(Path(folder))}


def score_golden(model: Path, files: list[Path], images: Path, extract: Extract = EXTRACT) -> np.ndarray:
    """Return the probabilities that `evaluate` computes for golden images, from a store that is made for that.

    Args:
        model: The `.keras` file.
        files: The images, all in one folder.
        images: Where the store goes.
        extract: Engine, precision and batch size.
    """
    from unfreeze.models.scorer import Scorer

    scorer = Scorer(model, images, extract, features=True)
    store.write(
        images,
        files[0].parent,
        [path.name for path in files],
        # Every class needs an image, and none is looked at.
        ["red", "blue"] + ["green"] * (len(files) - 2),
        size=int(scorer.model.inputs[0].shape[1]),
        max_pixels=MAX_PIXELS,
        manifest_sha256="0" * 64,
    )
    return scorer.predict(np.arange(len(files)), "golden images")
