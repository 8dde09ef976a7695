"""A picture of predictions: images with the percentages of their classes, and a badge where one is not accepted."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from unfreeze import files
from unfreeze.images import decoding
from unfreeze.images.decoding import Undecodable
from unfreeze.serving.abstention import UNLIKE, UNSURE
from unfreeze.serving.predictions import Row, to_text

# Images that a sheet shows, the first ones of the input.
MOST = 40
# Pixels: a picture, a line of text, the margin around a cell; and most cells in a row.
SIDE, LINE, MARGIN, HEADER = 200, 20, 12, 40
COLUMNS = 5
# Classes under a picture.
CLASSES = 3
INK, FAINT, PAPER, TRACK, BAR = "#1a1a1a", "#6b6b6b", "#ffffff", "#e6e9ee", "#2f6fb3"
# Dark enough for white text on them (WCAG 2.2, contrast of at least 4.5).
BADGES = {UNSURE: "#8a5a00", UNLIKE: "#b3261e", "": BAR}


@dataclass(frozen=True)
class Cell:
    """One image on a sheet.

    Args:
        row: What the model says.
        picture: The image, upright, at most 200 pixels a side; None if it could not be read.
        overlay: File of its Grad-CAM overlay; None to draw none.
    """

    row: Row
    picture: Image.Image | None
    overlay: Path | None = None


def load_picture(path: Path, *, max_pixels: int) -> Image.Image | None:
    """Return an image shrunk for a sheet, with its own aspect; None if it cannot be read.

    Args:
        path: The file.
        max_pixels: Most pixels, width times height.
    """
    try:
        picture = decoding.open_image(path, max_pixels=max_pixels).rgb
    except (Undecodable, MemoryError):
        return None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture


def draw(cells: list[Cell], path: Path, *, title: str) -> None:
    """Write a sheet as PNG.

    Args:
        cells: The images, in order.
        path: The file.
        title: The line above them.
    """
    across = SIDE * (2 if any(cell.overlay for cell in cells) else 1)
    columns = max(min(COLUMNS * SIDE // across + across // SIDE - 1, len(cells)), 1)
    classes = max((min(len(cell.row.probabilities), CLASSES) for cell in cells), default=1)
    width, height = across + 2 * MARGIN, SIDE + LINE * (classes + 1) + 3 * MARGIN
    sheet = Image.new("RGB", (columns * width, HEADER + -(-len(cells) // columns) * height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, HEADER // 2), _shorten(pen, title, _find_font(16), sheet.width - 2 * MARGIN), INK,
             _find_font(16), anchor="lm")  # fmt: skip
    for number, cell in enumerate(cells):
        left = number % columns * width + MARGIN
        _draw_cell(sheet, pen, cell, left, HEADER + number // columns * height, across)
    with files.atomic(path) as partial:
        sheet.save(partial, "PNG")


def _draw_cell(sheet: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, left: int, top: int, across: int) -> None:
    row, font = cell.row, _find_font(13)
    _place(sheet, pen, cell.picture, left, top)
    if cell.overlay is not None and cell.picture is not None and cell.overlay.is_file():
        with Image.open(cell.overlay) as overlay:
            # The network sees a square; beside the image it has the image's aspect.
            _place(sheet, pen, overlay.convert("RGB").resize(cell.picture.size), left + SIDE, top)
    badge = "not read" if row.failed else row.reason
    if badge:
        box = pen.textbbox((left + 8, top + 8), badge, font)
        pen.rounded_rectangle((box[0] - 5, box[1] - 4, box[2] + 5, box[3] + 4), 4, BADGES.get(badge, INK))
        pen.text((left + 8, top + 8), badge, PAPER, font)
    line = top + SIDE + MARGIN // 2
    name = to_text(row.source)
    pen.text((left, line), _shorten(pen, name, _find_font(11), across, keep_end=True), FAINT, _find_font(11))
    if row.failed:
        pen.text((left, line + LINE), _shorten(pen, to_text(row.reason), font, across), INK, font)
    ranked = sorted(row.probabilities, key=lambda pair: -pair[1])[:CLASSES]
    for place, (label, probability) in enumerate(ranked, start=1):
        _draw_bar(pen, label, probability, (left, line + place * LINE, across), BADGES.get(row.reason, BAR))


def _draw_bar(
    pen: ImageDraw.ImageDraw, label: str, probability: float, place: tuple[int, int, int], colour: str
) -> None:
    left, top, across = place
    font = _find_font(13)
    percent = f"{probability:.1%}"
    pen.text((left + across, top), percent, INK, font, anchor="ra")
    pen.text((left, top), _shorten(pen, label, font, across - 60), INK, font)
    pen.rectangle((left, top + LINE - 4, left + across - 1, top + LINE - 2), TRACK)
    if end := round(probability * (across - 1)):
        pen.rectangle((left, top + LINE - 4, left + end, top + LINE - 2), colour)


def _place(sheet: Image.Image, pen: ImageDraw.ImageDraw, picture: Image.Image | None, left: int, top: int) -> None:
    """Put a picture in the middle of its square."""
    pen.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), TRACK)
    if picture is not None:
        sheet.paste(picture, (left + (SIDE - picture.width) // 2, top + (SIDE - picture.height) // 2))


def _find_font(size: int) -> ImageFont.FreeTypeFont:
    # Pillow's own font has Latin letters only.
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), size)


def _shorten(
    pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: int, *, keep_end: bool = False
) -> str:
    """Return a text that fits a width, with an ellipsis where it was cut."""
    text = " ".join(text.split())
    if pen.textlength(text, font) <= width:
        return text
    while text and pen.textlength(f"{text}…", font) > width:
        text = text[1:] if keep_end else text[:-1]
    return f"…{text}" if keep_end else f"{text}…"
