"""What is said of files that no decoder takes."""

import gzip
from pathlib import Path

import pytest
from PIL import Image

from unfreeze.images.decoding import Undecodable, open_image
from unfreeze.images.formats import explain_unknown

KNOWN = {
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
    "annex": (b"/annex/objects/SHA256E-s1--0.jpg\n", "git-annex pointer.*git annex get"),
    "DVC": (b"outs:\n- md5: 0\n", "DVC pointer.*dvc pull"),
    "HTML": (b"\n<!DOCTYPE html><html><body>404</body>", "HTML page.*download it again"),
    "HTML after a mark": (b"\xef\xbb\xbf<HTML><body>404</body>", "HTML page.*download it again"),
    "XML": (b"<?xml version='1.0'?><annotation/>", "XML.*remove it"),
    "SVG": (b"<?xml version='1.0'?><svg/>", "SVG drawing.*rsvg-convert"),
    "JSON": (b'{"shapes": []}', "JSON.*remove it"),
    "CSV": ("Filename;Größe\n0.ppm;30\n".encode(), "text, which begins with 'Filename;Größe 0.ppm;30'.*remove it"),
    "long text": (("x" + "é" * 9000).encode(), "text, which begins"),
    "DICOM": (bytes(128) + b"DICM", "DICOM image.*16-bit PNG"),
    "PDF": (b"%PDF-1.7", "PDF document.*pdftoppm"),
    "Photoshop": (b"8BPS\0\1", "Photoshop document.*convert it to PNG"),
    "JPEG XL": (b"\xff\x0a\0", "JPEG XL image.*convert it to PNG"),
    "raw": (b"\0\0\0\x18ftypcrx ", r"raw photograph \(CR3\).*develop"),
    "video": (b"\0\0\0\x18ftypisom", "video.*ffmpeg"),
    "zip": (b"PK\3\4", "zip archive.*unpack it"),
    "gzip": (gzip.compress(b"x"), "packed by gzip.*unpack it"),
    "macOS": (b"\0\5\x16\7\0\2", "AppleDouble.*remove it"),
    "zeros": (bytes(5000), "only zeros.*copy it again"),
    "cut PNG": (b"\x89PNG\r\n\x1a\n\0\0", "PNG image whose header is damaged"),
    "cut AVIF": (b"\0\0\0\x20ftypavif\0\0", "AVIF image, damaged"),
    "a byte": (b"\xff", "no JPEG, PNG, .* image"),
    "noise": (bytes(range(128, 256)), "no JPEG, PNG, .* image, or one whose header is damaged: replace or remove it"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KNOWN)
def test_a_file_that_is_no_image_is_named_with_the_remedy(tmp_path: Path, kind: str) -> None:
    data, expected = KNOWN[kind]
    path = tmp_path / "cat.jpg"
    path.write_bytes(data)
    with pytest.raises(Undecodable, match=expected) as told:
        open_image(path, max_pixels=10**6)
    assert "\n" not in str(told.value)


def test_heic_needs_a_package_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    is_read = "HEIF" in Image.OPEN
    expected = (
        "a HEIC image, damaged or cut short" if is_read else "a HEIC image: run `.venv/bin/pip install pillow-heif`"
    )
    with pytest.raises(Undecodable, match=expected):
        open_image(path, max_pixels=10**6)
    assert "pillow-heif" in explain_unknown(path)
