import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from unfreeze.models.backbone import Backbone
from unfreeze.models.table import find_row
from unfreeze.training import pointwise

KINDS = {
    "strided": lambda: layers.Conv2D(6, 1, strides=2, activation="relu"),
    "without bias": lambda: layers.Conv2D(6, 1, use_bias=False),
    "separable": lambda: layers.SeparableConv2D(6, 3, strides=2, padding="same"),
    "larger": lambda: layers.Conv2D(6, 3, padding="same"),
    "grouped": lambda: layers.Conv2D(6, 1, groups=2),
    "of depth only": lambda: layers.DepthwiseConv2D(3),
}


def gradients_of(model: keras.Model, rows: np.ndarray) -> list[np.ndarray]:
    """Return the gradient of a sum of squares for each trainable variable."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(rows, training=False) ** 2)
    return [
        gradient.numpy() for gradient in tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_the_convolution(kind: str) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((7, 9, 4))
    model = keras.Model(inputs, KINDS[kind]()(inputs))
    for weight in model.weights:
        weight.assign(keras.random.normal(weight.shape))
    rows = np.random.default_rng(0).normal(size=(3, 7, 9, 4)).astype("float32")
    product = pointwise.replace_convolutions(model)
    assert [id(weight) for weight in product.weights] == [id(weight) for weight in model.weights]
    np.testing.assert_allclose(product(rows), model(rows), rtol=1e-5, atol=1e-5)
    for found, wanted in zip(gradients_of(product, rows), gradients_of(model, rows), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["xception", "resnet50", "mobilenetv2"])
def test_a_suffix_keeps_its_weights_and_what_is_frozen(name: str) -> None:
    keras.utils.set_random_seed(0)
    network = Backbone(find_row(name), 96)
    suffix = network.build_part(network.find_cut(network.row.unfreeze), network.end)
    suffix.layers[1].trainable = False
    product = pointwise.replace_convolutions(suffix)
    assert any(isinstance(layer, pointwise.Pointwise) for layer in product._flatten_layers())
    for kept in ("weights", "trainable_weights"):
        assert [id(weight) for weight in getattr(product, kept)] == [id(weight) for weight in getattr(suffix, kept)]
    rows = np.random.default_rng(0).random((2, *suffix.input.shape[1:])).astype("float32")
    np.testing.assert_allclose(product(rows, training=False), suffix(rows, training=False), rtol=1e-4, atol=1e-5)
