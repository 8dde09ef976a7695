"""Images that are no photographs of what a model was trained on, drawn by seed, to see whether it refuses them."""

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images

# Least and most letters of a word, and words of a line, on a page of text.
LETTERS, WORDS = (2, 10), 30
# Cells along a side of smooth noise.
CELLS = 8
SHAPES = 6
# Least side of a piece of a photograph, pixels; the photographs have 427 by 640.
PIECE = 120


def draw(kind: str, size: int, count: int, seed: int) -> np.ndarray:
    """Draw images of a kind; the same for the same seed.

    Args:
        kind: One of `KINDS`.
        size: Side of the square, pixels.
        count: How many.
        seed: Seed of the random numbers.

    Returns:
        uint8 array of shape (count, size, size, 3), RGB.
    """
    number = list(KINDS).index(kind)
    return np.stack([np.asarray(KINDS[kind](size, np.random.default_rng((seed, number, i)))) for i in range(count)])


def _draw_text(size: int, random: np.random.Generator) -> Image.Image:
    """Return a page of words in Pillow's own font, a little turned and grey, as a scanner gives it."""
    page = Image.new("RGB", (size, size), (int(random.integers(225, 256)),) * 3)
    canvas, font = ImageDraw.Draw(page), ImageFont.load_default(max(6, size // 16))
    # Pillow spends time on letters beyond the edge, too: no letter is narrower than the space.
    visible = size // int(font.getlength(" ")) + 1
    for top in range(size // 16, size, max(8, size // 12)):
        words = ["".join(map(chr, random.integers(97, 123, random.integers(*LETTERS)))) for _ in range(WORDS)]
        canvas.text((size // 16, top), " ".join(words)[:visible], fill=(30, 30, 30), font=font)
    return page.rotate(float(random.uniform(-3, 3)), Image.Resampling.BICUBIC, fillcolor=page.getpixel((0, 0)))


def _draw_noise(size: int, random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 256, (size, size, 3), dtype=np.uint8)


def _draw_smooth_noise(size: int, random: np.random.Generator) -> Image.Image:
    cells = random.integers(0, 256, (CELLS, CELLS, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((size, size), Image.Resampling.BICUBIC)


def _draw_colour(size: int, random: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (size, size), _choose_colour(random))


def _draw_shapes(size: int, random: np.random.Generator) -> Image.Image:
    """Return rectangles and ellipses of random colours on a random colour."""
    picture = Image.new("RGB", (size, size), _choose_colour(random))
    canvas = ImageDraw.Draw(picture)
    for _ in range(SHAPES):
        (left, right), (top, bottom) = np.sort(random.integers(0, size, (2, 2)), axis=1).tolist()
        shape = canvas.rectangle if random.random() < 0.5 else canvas.ellipse
        shape((left, top, right, bottom), fill=_choose_colour(random))
    return picture


def _cut_photograph(size: int, random: np.random.Generator) -> Image.Image:
    """Return a square piece of one of the two photographs that scikit-learn brings with it: a temple, a flower."""
    photographs = _load_photographs()
    photograph = photographs[random.integers(len(photographs))]
    side = int(random.integers(PIECE, min(photograph.shape[:2]) + 1))
    top, left = (int(random.integers(0, whole - side + 1)) for whole in photograph.shape[:2])
    piece = Image.fromarray(photograph[top : top + side, left : left + side])
    return piece.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)


@functools.cache
def _load_photographs() -> list[np.ndarray]:
    return list(load_sample_images().images)


def _choose_colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue


# Each kind's own random numbers follow its place: new kinds go to the end.
KINDS: dict[str, Callable[[int, np.random.Generator], "Image.Image | np.ndarray"]] = {
    "text pages": _draw_text,
    "noise": _draw_noise,
    "smooth noise": _draw_smooth_noise,
    "flat colours": _draw_colour,
    "drawn shapes": _draw_shapes,
    "other photographs": _cut_photograph,
}
