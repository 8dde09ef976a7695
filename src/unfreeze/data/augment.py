"""Random views of training images, made of Keras' augmentation layers."""

from typing import Any

import numpy as np

from unfreeze.params import Augment


def view_maker(augment: Augment, seed: int) -> Any:
    """Build the random changes of an augmented view.

    Args:
        augment: How much of each change.
        seed: Seed of all changes.

    Returns:
        A `keras.Sequential` over pixels 0..255.
    """
    from keras import Sequential, layers

    changes: list[Any] = []
    if augment.horizontal_flip:
        changes.append(layers.RandomFlip("horizontal", seed=seed))
    if augment.vertical_flip:
        changes.append(layers.RandomFlip("vertical", seed=seed + 1))
    if augment.rotation:
        changes.append(layers.RandomRotation(augment.rotation / 360, fill_mode="reflect", seed=seed + 2))
    if augment.shear:
        changes.append(layers.RandomShear(augment.shear, augment.shear, fill_mode="reflect", seed=seed + 3))
    if augment.scale:
        changes.append(layers.RandomZoom(augment.scale, fill_mode="reflect", seed=seed + 4))
    if augment.brightness:
        changes.append(layers.RandomBrightness(augment.brightness, value_range=(0, 255), seed=seed + 5))
    return Sequential(changes)


def augmented(maker: Any, pixels: np.ndarray) -> np.ndarray:
    """Return one random view of each image.

    Args:
        maker: From `view_maker`; its state moves on with each call.
        pixels: uint8 array of shape (batch, height, width, 3).

    Returns:
        uint8 array of the same shape.
    """
    changed = np.asarray(maker(pixels.astype("float32"), training=True))
    return np.clip(np.rint(changed), 0, 255).astype("uint8")
