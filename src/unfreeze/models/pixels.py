"""How each network expects its pixels, as layers of the saved model."""

import sys
from collections.abc import Callable
from typing import Any

from unfreeze.errors import UnfreezeError
from unfreeze.settings.base import Pixels

# Means and deviations of the ImageNet training images, RGB, as keras.applications uses them: caffe's on
# 0..255, torch's on 0..1.
CAFFE_MEAN = (123.68, 116.779, 103.939)
TORCH_MEAN = (0.485, 0.456, 0.406)
TORCH_STD = (0.229, 0.224, 0.225)


def scale_pixels(pixels: Pixels, x: Any) -> Any:
    """Scale pixels 0..255 in one of the known ways, with standard layers and no weights.

    Args:
        pixels: A row's kind of scaling, or `unit`: 0..1, which none of the table's networks was trained on.
        x: Keras tensor of shape (batch, height, width, 3), RGB.

    Returns:
        Keras tensor of the same shape, float32.
    """
    from keras import layers

    if pixels == "inside":
        return layers.Rescaling(1.0, name="pixels_as_they_are")(x)
    if pixels == "tf":
        return layers.Rescaling(1 / 127.5, offset=-1.0, name="pixels_to_minus_one_to_one")(x)
    if pixels == "unit":
        return layers.Rescaling(1 / 255, name="pixels_to_unit")(x)
    if pixels == "torch":
        mean = [255 * value for value in TORCH_MEAN]
        variance = [(255 * value) ** 2 for value in TORCH_STD]
        return layers.Normalization(mean=mean, variance=variance, name="pixels_normalized")(x)
    centred = layers.Normalization(mean=list(CAFFE_MEAN), variance=[1.0, 1.0, 1.0], name="pixels_centred")(x)
    # No standard layer reverses an axis. With channels moved to the front, cropping rows picks single ones.
    channels_first = layers.Permute((3, 1, 2), name="channels_first")(centred)
    red, green, blue = (
        layers.Cropping2D(((index, 2 - index), (0, 0)), data_format="channels_last", name=name)(channels_first)
        for index, name in enumerate(("red", "green", "blue"))
    )
    bgr = layers.Concatenate(axis=1, name="bgr")([blue, green, red])
    return layers.Permute((2, 3, 1), name="channels_last")(bgr)


def find_preprocess_input(builder: str) -> Callable[[Any], Any]:
    """Return a network's own scaling of pixels 0..255, which may change the array it is given.

    Args:
        builder: Name of the function in keras.applications that builds the network.
    """
    import keras

    own: Callable[[Any], Any] = sys.modules[getattr(keras.applications, builder).__module__].preprocess_input
    return own


def detect_pixels(builder: str) -> Pixels:
    """Find which scaling a network's own `preprocess_input` does, by trying it on random pixels."""
    import keras
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3)).astype("float32")
    expected = find_preprocess_input(builder)(pixels.copy())
    kinds: tuple[Pixels, ...] = ("inside", "tf", "caffe", "torch")
    for kind in kinds:
        inputs = keras.Input((4, 4, 3))
        scaled = keras.Model(inputs, scale_pixels(kind, inputs)).predict_on_batch(pixels)
        if np.allclose(scaled, expected, atol=1e-4):
            return kind
    raise UnfreezeError(
        f"backbone {builder}: its preprocess_input is none of {', '.join(kinds)}; "
        "take a backbone of the table (`unfreeze backbones`)"
    )
