from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import use_precision
from unfreeze.models.table import find_row
from unfreeze.training.convolutions import Convolution, Swish, list_slow_in_bfloat16, replace_convolutions

KINDS = {
    "strided": lambda: layers.Conv2D(6, 1, strides=2, activation="relu"),
    "without bias": lambda: layers.Conv2D(6, 1, use_bias=False),
    "separable": lambda: layers.SeparableConv2D(6, 3, strides=2, padding="same"),
    "larger": lambda: layers.Conv2D(6, 3, padding="same"),
    "grouped": lambda: layers.Conv2D(6, 1, groups=2),
    "of depth only": lambda: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, use_bias=False),
    "dilated": lambda: layers.Conv2D(6, 3, dilation_rate=2),
}


def gradients_of(model: keras.Model, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Return the gradient of a sum of squares for each trainable variable, by its identity."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(rows, training=False) ** 2)
    gradients = tape.gradient(loss, {id(weight): weight.value for weight in model.trainable_weights})
    return {weight: gradient.numpy() for weight, gradient in gradients.items()}


def build(*chain: layers.Layer) -> keras.Model:
    """Build a chain of layers with random weights."""
    keras.utils.set_random_seed(0)
    inputs = outputs = keras.Input((7, 9, 4))
    for layer in chain:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    for weight in model.weights:
        value = keras.random.normal(weight.shape)
        weight.assign(value**2 + 0.5 if "variance" in weight.path else value)
    return model


def expect_same(found: keras.Model, wanted: keras.Model) -> None:
    """Compare the weights of two models, their values and their gradients."""
    assert {id(weight) for weight in found.weights} == {id(weight) for weight in wanted.weights}
    rows = np.random.default_rng(0).normal(size=(3, *wanted.input.shape[1:])).astype("float32")
    np.testing.assert_allclose(found(rows, training=False), wanted(rows, training=False), rtol=1e-4, atol=1e-4)
    own, of_found = gradients_of(wanted, rows), gradients_of(found, rows)
    assert own.keys() == of_found.keys()
    for weight, gradient in own.items():
        np.testing.assert_allclose(of_found[weight], gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())


def count_norms(model: keras.Model) -> int:
    return sum(isinstance(layer, layers.BatchNormalization) for layer in model.operations)


@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_those_of_the_convolution(kind: str) -> None:
    model = build(KINDS[kind]())
    expect_same(replace_convolutions(model), model)


@pytest.mark.parametrize("norm", [{}, {"scale": False}, {"center": False, "epsilon": 0.1}])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "strided"])
def test_a_norm_behind_it_is_folded_into_it(kind: str, norm: dict[str, Any]) -> None:
    model = build(KINDS[kind](), layers.BatchNormalization(**norm), layers.ReLU())
    replaced = replace_convolutions(model)
    assert count_norms(replaced) == 0
    expect_same(replaced, model)


def test_errors_name_a_replaced_layer_after_the_last_one_that_it_computes() -> None:
    model = build(
        layers.Conv2D(6, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.Conv2D(2, 1, name="top")
    )
    names = [layer.name for layer in replace_convolutions(model).layers]
    assert names[1:] == ["before_conv", "norm_for_training", "top_for_training"]


def test_a_norm_stays_where_the_convolution_is_used_or_bent_before_it() -> None:
    inputs = keras.Input((7, 9, 4))
    convolved = layers.Conv2D(6, 3)(inputs)
    model = keras.Model(inputs, [layers.BatchNormalization()(convolved), convolved])
    assert count_norms(replace_convolutions(model)) == 1
    bent = build(layers.Conv2D(6, 3, activation="relu"), layers.BatchNormalization())
    assert count_norms(replace_convolutions(bent)) == 1
    expect_same(replace_convolutions(bent), bent)


def test_frozen_weights_get_no_gradient() -> None:
    model = build(layers.Conv2D(6, 3, use_bias=False), layers.BatchNormalization())
    model.layers[1].trainable = False
    replaced = replace_convolutions(model)
    assert [weight.path.split("/")[-1] for weight in replaced.trainable_weights] == ["gamma", "beta"]


@pytest.mark.parametrize("name", ["xception", "resnet50", "mobilenetv2", "efficientnetv2b0"])
def test_a_suffix_keeps_its_weights_and_what_is_frozen(name: str) -> None:
    keras.utils.set_random_seed(0)
    network = Backbone(find_row(name), 96)
    suffix = network.build_part(network.find_cut(network.row.unfreeze), network.end)
    suffix.layers[1].trainable = False
    replaced = replace_convolutions(suffix)
    assert any(isinstance(layer, Convolution) for layer in replaced._flatten_layers())
    for kept in ("weights", "trainable_weights"):
        ids = [{id(weight) for weight in getattr(model, kept)} for model in (replaced, suffix)]
        assert ids[0] == ids[1]
    rows = np.random.default_rng(0).random((2, *suffix.input.shape[1:])).astype("float32")
    np.testing.assert_allclose(replaced(rows, training=False), suffix(rows, training=False), rtol=1e-4, atol=1e-5)


def test_swish_has_the_values_and_gradients_of_keras() -> None:
    given = keras.Input((None,))
    model = keras.Model(given, keras.layers.Activation("swish")(given))
    replaced = replace_convolutions(model)
    assert isinstance(replaced.layers[1], Swish)
    rows = tf.constant([[-1e4, -100.0, -20.0, -1.2784645, -0.3, 0.0, 0.3, 2.4, 20.0, 100.0, 1e4]])
    found = []
    for made in (model, replaced):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            outputs = made(rows)
        found.append((outputs, tape.gradient(outputs, rows, tf.range(1.0, 12.0)[None])))
    for expected, value in zip(*found, strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(("strides", "is_float32"), [(1, False), (2, True)])
def test_gradients_of_depth_with_strides_stay_float32_where_the_rest_is_bfloat16(
    normed: bool, strides: int, is_float32: bool
) -> None:
    given = keras.Input((8, 8, 3))
    outputs = layers.DepthwiseConv2D(3, strides=strides, padding="same")(given)
    model = replace_convolutions(keras.Model(given, layers.BatchNormalization()(outputs) if normed else outputs))

    @tf.function
    def differentiate(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            outputs = model(rows)
        return outputs, tape.gradient(outputs, rows)

    rows = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")
    use_precision("bfloat16", but=list_slow_in_bfloat16(model))
    found, gradient = (values.numpy().view(np.uint32) for values in differentiate(rows))
    use_precision("float32")
    # The lower half of a float32 number is what bfloat16 does not have.
    assert not (found & 0xFFFF).any()
    assert (gradient & 0xFFFF).any() == is_float32
