"""The sheet of images with their percentages."""

from pathlib import Path

import pytest
from PIL import Image, ImageChops

from unfreeze.serving import sheet
from unfreeze.serving.predictions import Row


def make_cell(reason: str = "", *, overlay: Path | None = None, size: tuple[int, int] = (200, 120)) -> sheet.Cell:
    row = Row("cats/1.jpg", "кошка", [("кошка", 0.8), ("собака", 0.2)], not reason, reason)
    return sheet.Cell(row, Image.new("RGB", size, "lime"), overlay)


def draw(cells: list[sheet.Cell], path: Path) -> Image.Image:
    sheet.draw(cells, path, title="xception")
    return Image.open(path).convert("RGB")


def count(image: Image.Image, colour: str) -> int:
    wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    return sum(number for number, value in image.getcolors(1 << 24) if value == wanted)


def test_images_keep_their_aspect_and_the_bar_its_share(tmp_path: Path) -> None:
    image = draw([make_cell()], tmp_path / "sheet.png")
    assert count(image, "lime") == 200 * 120
    bars = count(image, sheet.BAR)
    # Bars of 3 rows for 0.8 and 0.2 of 199 columns, with the first column each.
    assert bars == 3 * (160 + 41)


@pytest.mark.parametrize(("reason", "colour"), sorted(sheet.BADGES.items()))
def test_a_badge_says_what_is_not_accepted(tmp_path: Path, reason: str, colour: str) -> None:
    plain, badged = draw([make_cell()], tmp_path / "1.png"), draw([make_cell(reason)], tmp_path / "2.png")
    corner = (12, 52, 150, 80)
    differs = ImageChops.difference(plain.crop(corner), badged.crop(corner)).getbbox() is not None
    assert differs == bool(reason)
    assert count(badged, colour) > 500


def test_overlays_stand_beside_their_images(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), "magenta").save(tmp_path / "heat.png")
    image = draw([make_cell(overlay=tmp_path / "heat.png")], tmp_path / "sheet.png")
    assert count(image, "magenta") == count(image, "lime") == 200 * 120


def test_an_unreadable_image_and_endless_names_fit(tmp_path: Path) -> None:
    failed = sheet.Cell(Row("x" * 500 + "/bad\udce9.jpg", "", [], False, "no image\n" * 99), None)
    long = sheet.Cell(Row("1.jpg", "c" * 300, [("c" * 300, 1.0)], True, ""), None)
    assert draw([failed, long, *[make_cell()] * 4], tmp_path / "sheet.png").width == 5 * 224


def test_pictures_are_upright_and_shrunk(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (800, 400)).save(tmp_path / "turned.jpg", exif=exif)
    picture = sheet.load_picture(tmp_path / "turned.jpg", max_pixels=10**6)
    assert picture is not None and picture.size == (100, 200)
    assert sheet.load_picture(tmp_path / "turned.jpg", max_pixels=10) is None
