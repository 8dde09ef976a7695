"""Corrupted copies of pictures, to see how much of a score survives them.

Noise, blur, JPEG, brightness and contrast are those of ImageNet-C with its five strengths (Hendrycks and Dietterich,
2019: "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations"; the numbers are those
of the authors' `make_imagenet_c.py`). Rotation is added here: cameras are not always held level.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

STRENGTHS = (1, 2, 3, 4, 5)
# Side of the pictures that ImageNet-C was made of, pixels.
IMAGENET_C_SIDE = 224


@dataclass(frozen=True)
class Corruption:
    """One way to corrupt a picture.

    Args:
        apply: Takes a picture, uint8 of shape (height, width, 3), an amount and a generator; returns it corrupted.
        amounts: The amount at each strength.
    """

    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    amounts: tuple[float, float, float, float, float]


def corrupt(
    pixels: np.ndarray, name: str, strength: int, seed: int, *, rows: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Return a corrupted copy of each picture.

    The result depends on the seed and on the picture's row, not on the batch that it comes in. All strengths use the
    same random numbers for a picture, so that a stronger corruption is the same one, more of it.

    Args:
        pixels: uint8 array of shape (pictures, height, width, 3), RGB.
        name: One of `CORRUPTIONS`.
        strength: 1 to 5.
        seed: Seed of the random numbers.
        rows: A number a picture, such as its row in the store.

    Returns:
        uint8 array of the same shape.
    """
    corruption = _BY_NAME[name]
    amount = corruption.amounts[STRENGTHS.index(strength)]
    corrupted = np.empty_like(pixels)
    for target, picture, row in zip(corrupted, pixels, rows, strict=True):
        target[...] = corruption.apply(picture, amount, np.random.default_rng((seed, int(row))))
    return corrupted


def _add_noise(picture: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise; the deviation is one of pixels 0..1."""
    return _round_to_uint8(picture + 255 * deviation * random.standard_normal(picture.shape))


def _blur(picture: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Blur with a Gaussian; the deviation is in pixels of ImageNet-C, and grows and shrinks with the picture."""
    scaled = deviation * max(picture.shape[:2]) / IMAGENET_C_SIDE
    return _round_to_uint8(cv2.GaussianBlur(picture.astype("float32"), (0, 0), scaled))


def _compress(picture: np.ndarray, quality: float, random: np.random.Generator) -> np.ndarray:
    """Encode as JPEG and decode again."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=int(quality))
    return np.asarray(Image.open(stream))


def _brighten(picture: np.ndarray, added: float, random: np.random.Generator) -> np.ndarray:
    """Raise the value of HSV, 0..1."""
    hsv = cv2.cvtColor(picture.astype("float32") / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 2] = np.minimum(hsv[..., 2] + added, 1)
    return _round_to_uint8(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def _rotate(picture: np.ndarray, degrees: float, random: np.random.Generator) -> np.ndarray:
    """Turn about the middle, to the left or to the right; corners are filled with the picture's mirror image."""
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees * random.choice((-1, 1)), 1)
    mirrored = cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpAffine(picture, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=mirrored))


def _lower_contrast(picture: np.ndarray, kept: float, random: np.random.Generator) -> np.ndarray:
    """Keep a share of each pixel's distance from its channel's mean."""
    mean = picture.mean(axis=(0, 1))
    return _round_to_uint8((picture - mean) * kept + mean)


def _round_to_uint8(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(values), 0, 255), "uint8")


_BY_NAME = {
    "noise": Corruption(_add_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "blur": Corruption(_blur, (1, 2, 3, 4, 6)),
    "jpeg": Corruption(_compress, (25, 18, 15, 10, 7)),
    "brightness": Corruption(_brighten, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "rotation": Corruption(_rotate, (6, 12, 18, 24, 30)),
    "contrast": Corruption(_lower_contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
}
CORRUPTIONS = tuple(_BY_NAME)
