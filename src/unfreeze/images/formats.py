"""Formats by content: those that are read, and what a file is that none of them fits."""

from dataclasses import dataclass
from pathlib import Path

# Suffixes by format, in lower case. HEIF needs the package pillow-heif.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "HEIF": (".heic", ".heif", ".hif"),
}
READ = "JPEG, PNG, WebP, BMP, TIFF, GIF, PPM, PGM, AVIF, JPEG 2000"

TO_PNG = "convert it to PNG, such as with ImageMagick's `magick FILE FILE.png`"
TO_TIFF = "convert it to an 8-bit or 16-bit TIFF or PNG with the program that wrote it"
DEVELOP = "develop it to JPEG or TIFF with the camera's program or darktable"
FRAMES = "extract its frames, such as with `ffmpeg -i FILE frame_%05d.png`"
UNPACK = "unpack it and remove it"
REMOVE = "remove it, or name the folders that hold the images in data.class_folders"
AGAIN = "export it again from where it comes"
HEIC = "run `.venv/bin/pip install pillow-heif`, or convert it to JPEG, such as with `heif-convert FILE FILE.jpg`"
FETCH_AGAIN = "the address gave a page, such as a login or an error, and not the image: download it again"

# Bytes that are looked at; DICOM and tar have their mark after some hundred.
BEGINNING = 4096


@dataclass(frozen=True)
class Mark:
    """How a kind of file begins.

    Args:
        offset: Where its mark is, bytes.
        mark: The bytes there.
        name: What the file is.
        remedy: What to do about it.
    """

    offset: int
    mark: bytes
    name: str
    remedy: str


# ISO base media files (ISO/IEC 14496-12, 4.3) name their brand behind the box's type.
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), ("a HEIC image", HEIC)),
    **dict.fromkeys((b"avif", b"avis"), ("an AVIF image, damaged or cut short", AGAIN)),
    b"crx ": ("a raw photograph (CR3)", DEVELOP),
    b"jxl ": ("a JPEG XL image", TO_PNG),
}
# The first that fits counts.
MARKS = (
    Mark(0, b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, without the image",
         "run `git lfs install` and `git lfs pull` in the repository that it comes from"),
    Mark(0, b"../.git/annex/objects/", "a git-annex pointer, without the image", "run `git annex get` there"),
    Mark(0, b"/annex/objects/", "a git-annex pointer, without the image", "run `git annex get` there"),
    Mark(0, b"outs:\n- md5:", "a DVC pointer, without the image", "run `dvc pull` in the repository it comes from"),
    Mark(0, b"\xff\xd8\xff", "a JPEG image whose header is damaged or cut short", AGAIN),
    Mark(0, b"\x89PNG\r\n\x1a\n", "a PNG image whose header is damaged or cut short", AGAIN),
    Mark(0, b"GIF8", "a GIF image whose header is damaged or cut short", AGAIN),
    Mark(0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image whose header is damaged or cut short", AGAIN),
    Mark(0, b"\xff\x4f\xff\x51", "a JPEG 2000 image whose header is damaged or cut short", AGAIN),
    Mark(8, b"WEBP", "a WebP image whose header is damaged or cut short", AGAIN),
    Mark(0, b"\xff\x0a", "a JPEG XL image", TO_PNG),
    Mark(0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL image", TO_PNG),
    Mark(0, b"8BPS", "a Photoshop document", TO_PNG),
    Mark(0, b"gimp xcf", "a GIMP document", TO_PNG),
    Mark(0, b"%PDF-", "a PDF document", "convert its pages to PNG, such as with `pdftoppm -png FILE page`"),
    Mark(0, b"%!PS", "a PostScript document", TO_PNG),
    Mark(0, b"\xc5\xd0\xd3\xc6", "a PostScript document", TO_PNG),
    Mark(0, b"\x00\x00\x01\x00", "an icon (ICO)", TO_PNG),
    Mark(0, b"\x00\x00\x02\x00", "a cursor or a TGA image", TO_PNG),
    Mark(0, b"DDS ", "a DDS texture", TO_PNG),
    Mark(0, b"\x0a\x05\x01\x08", "a PCX image", TO_PNG),
    Mark(0, b"\x01\xda", "an SGI image", TO_PNG),
    Mark(0, b"\x59\xa6\x6a\x95", "a Sun raster image", TO_PNG),
    Mark(0, b"qoif", "a QOI image", TO_PNG),
    Mark(0, b"P7\n", "a PAM image", TO_PNG),
    Mark(0, b"BPG\xfb", "a BPG image", TO_PNG),
    Mark(0, b"FLIF", "a FLIF image", TO_PNG),
    Mark(0, b"AT&TFORM", "a DjVu document", TO_PNG),
    Mark(0, b"\xd7\xcd\xc6\x9a", "a drawing (WMF)", TO_PNG),
    Mark(128, b"DICM", "a DICOM image", "convert it to a 16-bit PNG, such as with `dcm2img --write-16-bit-png`"),
    Mark(344, b"n+1\x00", "a NIfTI volume", "save its slices as PNG, such as with nibabel"),
    Mark(0, b"NRRD000", "an NRRD volume", "save its slices as PNG, such as with SimpleITK"),
    Mark(0, b"\x76\x2f\x31\x01", "an OpenEXR image, whose pixels are floats", TO_TIFF),
    Mark(0, b"#?RADIANCE", "a Radiance HDR image, whose pixels are floats", TO_TIFF),
    Mark(0, b"SIMPLE  =", "a FITS image", TO_TIFF),
    Mark(0, b"FUJIFILMCCD-RAW", "a raw photograph (RAF)", DEVELOP),
    Mark(0, b"IIRO", "a raw photograph (ORF)", DEVELOP),
    Mark(0, b"IIU\x00", "a raw photograph (RW2)", DEVELOP),
    Mark(0, b"FOVb", "a raw photograph (X3F)", DEVELOP),
    Mark(0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)", FRAMES),
    Mark(8, b"AVI ", "a video (AVI)", FRAMES),
    Mark(0, b"\x00\x00\x01\xba", "a video (MPEG)", FRAMES),
    Mark(0, b"FLV\x01", "a video (FLV)", FRAMES),
    Mark(0, b"RIFF", "a RIFF file without an image, such as sound", REMOVE),
    Mark(0, b"PK\x03\x04", "a zip archive", UNPACK),
    Mark(0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    Mark(0, b"Rar!\x1a\x07", "a rar archive", UNPACK),
    Mark(0, b"\x1f\x8b", "a file packed by gzip", UNPACK),
    Mark(0, b"BZh", "a file packed by bzip2", UNPACK),
    Mark(0, b"\xfd7zXZ\x00", "a file packed by xz", UNPACK),
    Mark(0, b"\x28\xb5\x2f\xfd", "a file packed by zstd", UNPACK),
    Mark(257, b"ustar", "a tar archive", UNPACK),
    Mark(0, b"\x93NUMPY", "a NumPy array", "save each of its images as PNG"),
    Mark(0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save each of its images as PNG"),
    Mark(0, b"PAR1", "a Parquet table", REMOVE),
    Mark(0, b"SQLite format 3\x00", "an SQLite database, such as Thumbs", REMOVE),
    Mark(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document or Thumbs.db", REMOVE),
    Mark(0, b"\x7fELF", "a program", REMOVE),
    Mark(0, b"\x00\x05\x16\x07", "what macOS keeps of a file elsewhere (AppleDouble), without the image", REMOVE),
)  # fmt: skip
# Beginnings of texts, in lower case, behind blanks and a byte order mark.
TEXTS = (
    (b"<!doctype html", "an HTML page", FETCH_AGAIN),
    (b"<html", "an HTML page", FETCH_AGAIN),
    (b"<head", "an HTML page", FETCH_AGAIN),
    (b"<svg", "an SVG drawing", "draw it as PNG, such as with `rsvg-convert FILE -o FILE.png`"),
    (b"<?xml", "XML, such as annotations", REMOVE),
    (b"{", "JSON or other text", REMOVE),
    (b"data:image/", "an image written as text (a data address)", "decode it with base64"),
)


def has_matching_suffix(path: Path, image_format: str) -> bool:
    """Tell whether a file's suffix, in whatever case, is one of its format's; no suffix is none of them."""
    return path.suffix.lower() in SUFFIXES[image_format]


def explain_unknown(path: Path | bytes, *, reads_heic: bool = False) -> str:
    """Say what a file is that no decoder takes, and what to do about it.

    Args:
        path: The file, or its bytes.
        reads_heic: Whether a decoder for HEIC is there.

    Returns:
        One line, without the path.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "cat.jpg")
        ...     _ = path.write_text("version https://git-lfs.github.com/spec/v1")
        ...     explain_unknown(path)[:36]
        'a Git LFS pointer, without the image'
    """
    if isinstance(path, bytes):
        start = path[:BEGINNING]
    else:
        with path.open("rb") as stream:
            start = stream.read(BEGINNING)
    if not start:
        return "the file is empty"
    if not start.strip(b"\0"):
        return "the file holds only zeros, as after a copy that broke off: copy it again"
    name, remedy = _name_content(start)
    if remedy == HEIC and reads_heic:
        return f"{name}, damaged or cut short: {AGAIN}"
    return f"{name}: {remedy}"


def _name_content(start: bytes) -> tuple[str, str]:
    if start[4:8] == b"ftyp":
        return BRANDS.get(start[8:12], ("a video (MP4 or alike)", FRAMES))
    for mark in MARKS:
        if start.startswith(mark.mark, mark.offset):
            return mark.name, mark.remedy
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for beginning, name, remedy in TEXTS:
        if text[: len(beginning)].lower() == beginning:
            # A drawing has the header of XML too.
            return TEXTS[3][1:] if name.startswith("XML") and b"<svg" in text else (name, remedy)
    if _is_text(start):
        shown = " ".join(text[:40].decode(errors="replace").split())
        return f"text, which begins with {shown!r}", REMOVE
    return f"no {READ} image, or one whose header is damaged", "replace or remove it"


def _is_text(start: bytes) -> bool:
    """Tell whether all is UTF-8 without control characters; the last character of a long text may be cut."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if len(start) < BEGINNING or error.start < BEGINNING - 3:
            return False
        text = start[: error.start].decode()
    return all(character.isprintable() or character in "\r\n\t\f" for character in text)
