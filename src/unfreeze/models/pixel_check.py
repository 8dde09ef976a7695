"""A check of a backbone before anything is run on it: is it fed what it was trained on?

The two failures of the course report, 0.49 with EfficientNetB0 and 0.62 with ResNet50, look like pixels scaled for
another network. That shows without a single image.
"""

import keras
import numpy as np

from unfreeze.checks.rules import SCALING_TOLERANCE
from unfreeze.models import graph
from unfreeze.models.backbone import Backbone, find_input
from unfreeze.models.pixels import CAFFE_MEAN, TORCH_MEAN, TORCH_STD, find_preprocess_input, scale_pixels
from unfreeze.settings.base import Pixels

# Kinds of scaling, as messages call them.
NAMES: dict[Pixels, str] = {
    "unit": "divided by 255",
    "tf": "-1..1",
    "inside": "0..255",
    "caffe": "BGR without the mean",
    "torch": "RGB without the mean, divided by the deviation",
}


def measure_scaling_error(backbone: Backbone) -> float:
    """Return how far what reaches a backbone is from what its network was trained on.

    For a network of keras.applications that is its own `preprocess_input`, for another one its setting `pixels`.

    Args:
        backbone: Its weights do not matter.

    Returns:
        The largest difference over all 256 levels of each channel, as a share of the range of what is expected: some
        millionths if it is right, and 0 for the CNN from scratch, which has no other to be compared with.
    """
    if backbone.row.builder is None:
        return 0.0
    pixels = _make_levels(backbone.size)
    return _compare(_compute_arriving(backbone, pixels), _compute_expected(backbone, pixels))


def recognize_scaling(backbone: Backbone) -> str:
    """Return what the pixels that reach a backbone look like: one of `NAMES`, or that it is none of them."""
    pixels = _make_levels(backbone.size)
    return _recognize(_compute_arriving(backbone, pixels), pixels)


def explain(backbone: Backbone) -> str:
    """Return one line for people on what a backbone is fed, and on what to do if that is wrong."""
    found = f"{backbone.row.name} is fed pixels scaled as {recognize_scaling(backbone)}"
    if measure_scaling_error(backbone) <= SCALING_TOLERANCE:
        return f"{found}, which is right"
    pixels = _make_levels(backbone.size)
    trained = _recognize(_compute_expected(backbone, pixels), pixels)
    return f"{found}, and was trained on {trained}: set pixels=native"


def _make_levels(size: int) -> np.ndarray:
    """Return a picture with all levels in each channel, and no two channels alike at any place."""
    level = np.arange(size * size).astype("uint8").reshape(1, size, size)
    return np.stack([level, level + np.uint8(85), level + np.uint8(170)], axis=-1)


def _compute_arriving(backbone: Backbone, pixels: np.ndarray) -> np.ndarray:
    """Return what the first layers of the model that runs a backbone make of pixels, up to the backbone's input."""
    first = graph.find_articulation_points(backbone.base)[1]
    part = backbone.build_part(0, first)
    return np.asarray(keras.Model(part.input, find_input(part.output))(pixels))


def _compute_expected(backbone: Backbone, pixels: np.ndarray) -> np.ndarray:
    """Return pixels as the network's authors scale them, or as the settings of a network of one's own say.

    The formulas are written out here, since this is what the model's layers are compared with.
    """
    values: np.ndarray = pixels.astype("float32")
    expected: np.ndarray
    if backbone.row.origin == "applications":
        expected = find_preprocess_input(str(backbone.row.builder))(values)
        return expected
    match backbone.row.pixels:
        case "tf":
            expected = values / 127.5 - 1
        case "unit":
            expected = values / 255
        case "torch":
            expected = (values / 255 - TORCH_MEAN) / TORCH_STD
        case "caffe":
            expected = values[..., ::-1] - CAFFE_MEAN[::-1]
        case "inside":
            expected = values
    return expected


def _recognize(values: np.ndarray, pixels: np.ndarray) -> str:
    inputs = keras.Input(pixels.shape[1:], dtype="uint8")
    for kind, name in NAMES.items():
        known = np.asarray(keras.Model(inputs, scale_pixels(kind, inputs))(pixels))
        if _compare(values, known) <= SCALING_TOLERANCE:
            return name
    return "none of " + "; ".join(NAMES.values())


def _compare(values: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(values - expected).max() / np.ptp(expected))
