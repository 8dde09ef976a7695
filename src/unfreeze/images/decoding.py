"""The one place that turns an image file into 8-bit RGB, or says why it cannot.

What a file's pixels become:

- The orientation of its EXIF data is applied. EXIF data that cannot be read is no damage: the picture stays as it is.
- Of several pictures in a file the first one counts. Colour profiles are not applied, as in Keras' loaders.
- Grey, one-bit, palette and YCbCr pixels become the RGB they stand for. CMYK becomes (1 - ink)(1 - black); in a JPEG
  ink is stored inverted, as Adobe does and all readers assume. L*a*b* is taken under D50 and becomes sRGB.
- 16-bit pixels keep their upper byte: black stays black and white stays white. Where an image uses only the lower 8
  or 12 bits it keeps the upper 8 of these, as `deep_pixels` says. PGM and PPM name the value that is white.
- Transparent pixels are composited on white, the background that such pictures are drawn for. The colour that their
  files hold there is arbitrary: black in most.
- 12-bit TIFF, signed, 32-bit and float pixels are refused: files do not say which values are black and white.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile, TiffImagePlugin, UnidentifiedImageError

from unfreeze.images import completeness, deep_pixels, formats
from unfreeze.images.jpeg_decoding import LARGEST_JPEG_FACTOR, decode_jpeg
from unfreeze.images.jpeg_decoding import Undecodable as Undecodable

# How a picture is turned upright, by the value of EXIF's Orientation (Exif 2.32, 4.6.4 A); 1 is upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
WHITE_IS_ZERO = 0
# Pillow halves a picture that is larger than this many times the square before it scales; its documentation finds the
# result at 3 all but the same as without.
REDUCING_GAP = 3.0
RESIZE = "JPEG halved by its decoder while no smaller than the square, then Pillow's bicubic to it, aspect ignored"

# Callers pass their own limit on pixels; Pillow's would override a higher one.
Image.MAX_IMAGE_PIXELS = None
# Pillow warns of broken metadata only; errors in pixels raise.
warnings.filterwarnings("ignore", module=r"PIL\.")
# An optional package, the extra `heic`.
with contextlib.suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


@dataclass(frozen=True)
class Decoded:
    """An image as 8-bit RGB, upright.

    Args:
        rgb: The pixels.
        format: A key of `formats.SUFFIXES`, whatever the file's suffix says.
        mode: Pillow's name for how pixels are stored, such as RGB, L, P, CMYK or I;16.
        pictures: How many pictures the file holds, such as pages of a TIFF; the first one is used. A JPEG's further
            pictures are previews and depth maps, and do not count.
        spare_bits: Upper bits of 16-bit colours that no pixel uses: 0, 4 or 8.
        partial_alpha: Share of pixels that are neither opaque nor fully transparent, 0..1; 1 if none is opaque.
    """

    rgb: Image.Image
    format: str
    mode: str
    pictures: int = 1
    spare_bits: int = 0
    partial_alpha: float = 0.0

    @property
    def width(self) -> int:
        """Pixels, of the upright picture."""
        return self.rgb.width

    @property
    def height(self) -> int:
        """Pixels, of the upright picture."""
        return self.rgb.height


def open_image(path: Path | bytes, *, max_pixels: int) -> Decoded:
    """Decode a file to 8-bit RGB, or say what is wrong with it.

    Files that would make a decoder invent pixels are refused: a file that breaks off, in all formats; a chunk of a
    PNG whose CRC is wrong; a JPEG of which libjpeg warns. Accepted are bytes behind the image, and those faults of a
    JPEG that leave its pixels whole: junk between the segments of its header, an unknown revision of JFIF, a broken
    colour profile, and a missing end marker where all pixels are there. Where pixels have no checksum (all formats
    but PNG) a changed byte that yields other pixels cannot be noticed.

    Bytes left over behind the last pixel of a JPEG's scan are refused. Of 1,500 photographs with one changed byte 103
    gave that warning, and in the median one half of the picture was visibly wrong: the decoder had lost its place.

    Args:
        path: A file of a format of `formats.SUFFIXES`, or its bytes.
        max_pixels: Most pixels, width times height; checked on the header, before anything is decoded.

    Returns:
        The upright picture with its format and its mode.

    Raises:
        Undecodable: The file does not become pixels by the rules of this module.
        MemoryError: It needs more memory than there is.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "grey.png")
        ...     Image.new("L", (3, 2), 128).save(path)
        ...     decoded = open_image(path, max_pixels=10**6)
        >>> decoded.rgb.getpixel((0, 0)), decoded.width, decoded.height, decoded.format, decoded.mode
        ((128, 128, 128), 3, 2, 'PNG', 'L')
    """
    with _explain_failure(path), _open_file(path, max_pixels) as (header, data):
        # Loading the pixels changes the mode of some formats.
        mode, pictures = header.mode, _count_pictures(header)
        pixels = _decode(header, data)
        return Decoded(pixels.rgb, _format_of(header), mode, pictures, pixels.spare_bits, pixels.partial_alpha)


def load_rgb(path: Path | bytes, size: int, *, max_pixels: int) -> np.ndarray:
    """Decode an image to upright RGB and scale it to a square, ignoring its aspect, as Keras' loaders do.

    It refuses what `open_image` refuses. Pillow's bicubic keeps more of what a backbone looks for than Keras'
    bilinear: for a linear classifier on Xception's features of 4,000 cats and dogs at 160 pixels the cross-validated
    log-loss is 0.066 so, and 0.071 with Pillow's bilinear. Pillow computes it in integers, so each processor gives
    the same pixels, which OpenCV's does not. A JPEG is halved by its decoder as often as it stays no smaller than the
    square, as Pillow's `draft` does, which saves decoding what the square does not show.

    Args:
        path: A file of a format of `formats.SUFFIXES`, or its bytes.
        size: Side of the square, pixels.
        max_pixels: Most pixels, width times height; checked on the header, before anything is decoded.

    Returns:
        uint8 array of shape (size, size, 3), 0..255.

    Raises:
        Undecodable: The file does not become pixels by the rules of this module.
        MemoryError: It needs more memory than there is.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "red.png")
        ...     Image.new("RGB", (300, 200), "red").save(path)
        ...     pixels = load_rgb(path, 32, max_pixels=10**6)
        >>> pixels.shape, pixels[0, 0].tolist()
        ((32, 32, 3), [255, 0, 0])
    """
    with _explain_failure(path), _open_file(path, max_pixels) as (header, data):
        rgb = _decode(header, data, _find_factor(header, size)).rgb
        return np.asarray(rgb.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=REDUCING_GAP))


def _find_factor(header: Image.Image, size: int) -> int:
    """Return by how much a JPEG's decoder can divide its sides without falling below a size."""
    return min(LARGEST_JPEG_FACTOR, *(1 << max((side // size).bit_length() - 1, 0) for side in header.size))


@contextmanager
def _explain_failure(path: Path | bytes) -> Iterator[None]:
    """Turn any error of a decoder into a reason of one line."""
    try:
        yield
    except (Undecodable, MemoryError):
        raise
    except UnidentifiedImageError:
        raise Undecodable(formats.explain_unknown(path, reads_heic="HEIF" in Image.OPEN)) from None
    # Damaged files make decoders raise nearly anything.
    except Exception as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Undecodable(" ".join(text.split()) or type(error).__name__) from error


@contextmanager
def _open_file(path: Path | bytes, max_pixels: int) -> Iterator[tuple[ImageFile.ImageFile, bytes]]:
    """Yield a file's header, checked against the limit, and its bytes; pixels are not decoded yet."""
    with _open_stream(path) as stream, Image.open(stream, formats=_list_decoders()) as header:
        if header.width * header.height > max_pixels:
            raise Undecodable(f"{header.width} x {header.height} pixels are more than {max_pixels:,}")
        stream.seek(0)
        is_needed = _format_of(header) in ("JPEG", "PNG", "JPEG2000") or deep_pixels.is_deep(header)
        yield header, stream.read() if is_needed else b""


def _open_stream(path: Path | bytes) -> BinaryIO:
    stream: BinaryIO = io.BytesIO(path) if isinstance(path, bytes) else path.open("rb")
    if stream.read(len(completeness.JP2_SIGNATURE)) != completeness.JP2_SIGNATURE:
        stream.seek(0)
        return stream
    # Pillow reads as many bytes as a box says it has; a file would reserve memory for gigabytes that are not there.
    with stream:
        return io.BytesIO(completeness.JP2_SIGNATURE + stream.read())


def _list_decoders() -> list[str]:
    """Return Pillow's names of the formats that are read here."""
    return [name for name in formats.SUFFIXES if name in Image.OPEN or name != "HEIF"]


def _format_of(header: Image.Image) -> str:
    """Return the format by content; Pillow calls a JPEG with further pictures behind it MPO."""
    return "JPEG" if header.format == "MPO" else str(header.format)


def _count_pictures(header: ImageFile.ImageFile) -> int:
    """Return how many pictures a file holds; 2 if there are more than one and the others are damaged."""
    if _format_of(header) == "JPEG":
        return 1
    try:
        return int(getattr(header, "n_frames", 1))
    # What follows the first picture may be anything.
    except Exception:
        header.seek(0)
        return 2


@dataclass(frozen=True)
class _Pixels:
    """Pixels in RGB, and what was noticed on the way; as in `Decoded`."""

    rgb: Image.Image
    spare_bits: int = 0
    partial_alpha: float = 0.0


def _decode(image: ImageFile.ImageFile, data: bytes, factor: int = 1) -> _Pixels:
    """Decode all pixels to upright RGB.

    Args:
        image: The file's header.
        data: The file's bytes; used for JPEG, PNG, JPEG 2000 and 16-bit colours alone.
        factor: By what a JPEG's decoder divides its sides.
    """
    kind = _format_of(image)
    if kind == "JPEG":
        pixels = _Pixels(_decode_jpeg(data, image, factor))
    else:
        if kind == "PNG":
            completeness.verify_png(data)
        if kind == "JPEG2000":
            completeness.verify_jpeg2000(data)
        _refuse_ambiguous(image)
        # Loading the pixels forgets how they were stored.
        is_deep, is_scaled = deep_pixels.is_deep(image), deep_pixels.has_stated_white(image)
        image.load()
        pixels = _deep_to_rgb(image, data, is_scaled=is_scaled) if is_deep else _to_rgb(image)
    # Read the orientation last: loading a TIFF's pixels applies and removes it; PNG may store it behind the pixels.
    return replace(pixels, rgb=_turn(pixels.rgb, _read_orientation(image)))


def _read_orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1 where there is none."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    # A broken EXIF block makes its reader raise nearly anything.
    except Exception:
        return 1
    return value if value in UPRIGHT else 1


def _turn(image: Image.Image, orientation: int) -> Image.Image:
    return image if orientation == 1 else image.transpose(UPRIGHT[orientation])


def _refuse_ambiguous(image: ImageFile.ImageFile) -> None:
    """Refuse pixels that Pillow would load, but only by a guess at what they mean."""
    raw_mode = deep_pixels.read_raw_mode(image)
    # Values of a PGM file reach from 0 to 65,535 in this mode.
    is_signed = image.mode == "I" and image.format != "PPM"
    if is_signed or image.mode == "F" or raw_mode == "I;12":
        raise Undecodable(f"pixels of type {raw_mode} do not say what is black and white: store 8 or 16 bits")
    if ";16" in raw_mode and "transparency" in image.info:
        raise Undecodable("16-bit pixels with a transparent colour: store an alpha channel instead")
    # Pillow reads such pixels as if each had its own colour, which holds only where this tag says so (TIFF 6.0, 21).
    if image.mode == "YCbCr" and _read_tiff_tag(image, TiffImagePlugin.YCBCRSUBSAMPLING, None) != (1, 1):
        raise Undecodable("uncompressed YCbCr whose colours are coarser than its pixels: store RGB instead")


def _read_tiff_tag(image: Image.Image, tag: int, default: Any) -> Any:
    return image.tag_v2.get(tag, default) if isinstance(image, TiffImagePlugin.TiffImageFile) else default


def _deep_to_rgb(image: ImageFile.ImageFile, data: bytes, *, is_scaled: bool) -> _Pixels:
    """Turn pixels of 16 bits a colour to RGB."""
    if image.mode in ("RGB", "RGBA", "LA"):
        restored, bits = deep_pixels.restore_colours(image, data)
        return replace(_to_rgb(restored), spare_bits=16 - bits)
    values, bits = deep_pixels.reduce_grey(image, is_scaled=is_scaled)
    # Pillow inverts such pixels where they have 8 bits, but not here.
    if _read_tiff_tag(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, None) == WHITE_IS_ZERO:
        values = 255 - values
    return _Pixels(Image.fromarray(values).convert("RGB"), 16 - bits)


def _to_rgb(image: Image.Image) -> _Pixels:
    """Turn pixels of 8 bits a colour, or fewer, to RGB."""
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        # littleCMS' short cut is off by up to 5 of 255.
        exact = ImageCms.Flags.NOOPTIMIZE
        return _Pixels(ImageCms.buildTransform(*profiles, "LAB", "RGB", flags=exact).apply(image))
    if not image.has_transparency_data:
        return _Pixels(image.convert("RGB"))
    upper = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    rgb = Image.alpha_composite(Image.new("RGBA", image.size, "white"), upper).convert("RGB")
    counts = upper.getchannel("A").histogram()
    return _Pixels(rgb, partial_alpha=sum(counts[1:-1]) / sum(counts) if counts[-1] else 1.0)


def _decode_jpeg(data: bytes, header: Image.Image, factor: int) -> Image.Image:
    """Decode all pixels of a JPEG to RGB."""
    if header.mode != "CMYK":
        return Image.fromarray(decode_jpeg(data, header, "RGB", factor=factor))
    inks = decode_jpeg(data, header, "CMYK", factor=factor)
    return Image.frombuffer("CMYK", inks.shape[1::-1], inks, "raw", "CMYK;I", 0, 1).convert("RGB")
