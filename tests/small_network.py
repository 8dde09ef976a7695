"""A network of 18 layers for tests that run stages many times: building and converting a larger one takes longer."""

import yaml

from tests.conftest import Checkout

NAME = "small"
# Like MobileNetV2's: a residual block, and one above it that widens, convolves each channel and narrows, with batch
# normalization throughout.
BUILDER = """
import keras
from keras import layers


def build(size):
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(8, 3, strides=4, padding="same", use_bias=False, name="low_convolution")(inputs)
    x = layers.ReLU(name="low_relu")(layers.BatchNormalization(name="low_norm")(x))
    below = layers.MaxPooling2D(name="low_pool")(x)
    x = layers.Conv2D(16, 1, use_bias=False, name="middle_expand")(below)
    x = layers.ReLU(name="middle_relu")(layers.BatchNormalization(name="middle_norm")(x))
    x = layers.Conv2D(8, 1, use_bias=False, name="middle_project")(x)
    x = layers.Add(name="middle_add")([below, layers.BatchNormalization(name="middle_project_norm")(x)])
    x = layers.Conv2D(60, 1, use_bias=False, name="high_expand")(x)
    x = layers.ReLU(name="high_relu")(layers.BatchNormalization(name="high_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="high_depthwise")(x)
    x = layers.Conv2D(24, 1, use_bias=False, name="high_project")(x)
    x = layers.BatchNormalization(name="high_project_norm")(x)
    return keras.Model(inputs, layers.ReLU(name="high_output")(x))
"""


def describe(made: Checkout) -> None:
    """Make the network a backbone of a checkout, as a user makes one of their own."""
    settings = {"builder": f"plugins.backbones.{NAME}:build", "pixels": "tf", "smallest_size": 16, "native_size": 32}
    for path, content in {
        made.root / f"plugins/backbones/{NAME}.py": BUILDER,
        made.root / f"conf/backbones/{NAME}.yaml": yaml.safe_dump(settings),
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
