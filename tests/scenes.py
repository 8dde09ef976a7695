"""Images that look like photographs, and frames of a fixed camera."""

import numpy as np
from PIL import Image


def draw_scene(seed: int, side: int = 200) -> Image.Image:
    """Draw smooth random colours, as a photograph has them."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype("uint8")
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def draw_frame(base: Image.Image, random: np.random.Generator) -> Image.Image:
    """Draw a frame of a fixed camera: noise everywhere, and a square of a tenth of the scene that changes."""
    pixels = np.asarray(base, float) + random.normal(0, 3, (*base.size, 3))
    side = int(base.width * 0.1**0.5)
    left, top = random.integers(0, base.width - side, 2)
    pixels[left : left + side, top : top + side] = np.asarray(draw_scene(int(random.integers(10**9)), side), float)
    return Image.fromarray(np.clip(pixels, 0, 255).astype("uint8"))
