"""What a file is by its name, and by its first bytes where the name tells nothing."""

from pathlib import Path

# Formats that are pictures by their suffix; whether one can be decoded is found out by the checks.
IMAGE_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .jif .png .apng .webp .bmp .dib .tif .tiff .gif .ppm .pgm .pbm .pnm .pfm .avif .avifs "
    ".heic .heif .hif .jp2 .j2k .j2c .jpc .jpf .jpx .jpm .tga .ico .pcx .jxl"
)
IMAGES = frozenset(IMAGE_SUFFIXES.split())
TABLE_SUFFIXES = ".csv .tsv .tab .psv .txt .dat .list .lst .jsonl .ndjson .json .parquet .pq .xlsx .xlsm"
TABLES = frozenset(TABLE_SUFFIXES.split())
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".whl"})
# Known to be something else, so that nobody need open them.
OTHER_SUFFIXES = (
    ".md .rst .pdf .doc .docx .odt .ods .xls .ppt .pptx .html .htm .xml .yaml .yml .toml .ini .cfg .log .tex .bib "
    ".py .ipynb .js .css .sh .bat .m .r .c .h .cpp .mp4 .avi .mov .mkv .webm .mpg .mpeg .wmv .m4v .flv .mp3 .wav "
    ".flac .ogg .m4a .zip .tar .gz .tgz .bz2 .xz .zst .7z .rar .npz .npy .mat .h5 .hdf5 .pkl .pt .pth .tfrecord "
    ".tfrecords .onnx .keras .db .sqlite .svg .eps .ps .ai .psd .xcf .dcm .nii .mha .dng .nef .cr2 .cr3 .arw .raw "
    ".exe .dll .so .bin .lnk .url .sha256 .md5 .license"
)
OTHERS = TABLES | frozenset(OTHER_SUFFIXES.split())
# What file managers leave behind.
LEFT_BY_FILE_MANAGERS = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
# First bytes of the formats that are read, by https://en.wikipedia.org/wiki/List_of_file_signatures.
MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"P2": "PGM",
    b"P5": "PGM",
    b"P3": "PPM",
    b"P6": "PPM",
    b"\x00\x00\x00\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
MAGIC_BYTES = 16


def is_hidden(name: str) -> bool:
    """Tell whether the name of a file or folder says that it is none of the data.

    >>> is_hidden(".git"), is_hidden("__MACOSX"), is_hidden("cat.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name == "__MACOSX" or name.lower() in LEFT_BY_FILE_MANAGERS


def get_suffix(path: str) -> str:
    """Return the suffix of a path in lower case; empty if it has none.

    >>> get_suffix("cat/1.JPG")
    '.jpg'
    """
    # Not by pathlib, which takes seconds for 100,000 files.
    name = path.rpartition("/")[2]
    place = name.rfind(".")
    return name[place:].lower() if 0 < place < len(name) - 1 else ""


def find_format(file: Path) -> str | None:
    """Return the format of an image by its first bytes; None if they are no image's.

    Args:
        file: The file. One that cannot be read has no format.
    """
    try:
        with file.open("rb") as stream:
            return find_format_of(stream.read(MAGIC_BYTES))
    except OSError:
        return None


def find_format_of(start: bytes) -> str | None:
    """Return the format of an image by its first bytes; None if they are no image's.

    >>> find_format_of(b"GIF89a...")
    'GIF'
    """
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        brand = start[8:12]
        return "AVIF" if brand[:3] == b"avi" else "HEIC" if brand in {b"heic", b"heix", b"mif1", b"msf1"} else None
    return next((name for magic, name in MAGIC.items() if start.startswith(magic)), None)
