"""Vision transformers of standard Keras layers, which any Keras 3 loads, and their embeddings at another image side.

The layers of KerasHub hold all blocks in one, and some cannot be loaded from a saved model. Here each layer stands in
the graph, so that a network can be cut between blocks and nothing but Keras is needed to load it.
"""

import keras
import numpy as np
from keras import layers

from unfreeze.settings.backbones import Transformer

# x * sigmoid(A * x + B * x^3) is GELU by tanh (Hendrycks and Gimpel 2016, arXiv:1606.08415).
GELU_A = 2 * (2 / np.pi) ** 0.5
GELU_B = GELU_A * 0.044715


def build_transformer(spec: Transformer, size: int, *, name: str) -> keras.Model:
    """Build a vision transformer with untrained weights.

    Args:
        spec: The network.
        size: Image side, pixels; a multiple of the patch.
        name: Its name.

    Returns:
        A functional model from (batch, size, size, 3) to (batch, tokens, width): first the class token, if there is
        one, then the registers, then the patches row by row.
    """
    places = (size // spec.patch) ** 2
    tokens = places + spec.extra_tokens
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(
        spec.width, spec.patch, strides=spec.patch, padding="valid", use_bias=spec.patch_bias, name="patches"
    )(inputs)
    x = layers.Reshape((places, spec.width), name="patch_tokens")(x)
    # No standard layer adds learned vectors: a dense layer makes them of the constant 1. Those of the first tokens
    # are the class token and the registers themselves.
    one = layers.GlobalMaxPooling1D(name="one_number")(layers.Reshape((-1, 1), name="numbers")(x))
    one = layers.Rescaling(0.0, offset=1.0, name="one")(one)
    learned = layers.Dense(
        tokens * spec.width,
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name="positions",
    )(one)
    learned = layers.Reshape((tokens, spec.width), name="position_tokens")(learned)
    if spec.extra_tokens:
        x = layers.ZeroPadding1D((spec.extra_tokens, 0), name="extra_tokens")(x)
    x = layers.Add(name="embedded")([x, learned])
    for number in range(1, spec.depth + 1):
        x = _add_block(spec, x, f"block{number}")
    return keras.Model(inputs, layers.LayerNormalization(epsilon=spec.epsilon, name="norm")(x), name=name)


def copy_resized(spec: Transformer, source: keras.Model, target: keras.Model) -> None:
    """Copy weights into the same transformer for another image side.

    Embeddings of positions are interpolated over the grid of patches, bicubically, as DINOv2's authors do (Oquab et
    al. 2023, arXiv:2304.07193); all other weights do not depend on the side.

    Args:
        spec: The network.
        source: What `build_transformer` returns, at one side.
        target: The same, at another one; changed in place.
    """
    for layer in target.layers:
        if layer.weights and layer.name != "positions":
            layer.set_weights(source.get_layer(layer.name).get_weights())
    learned = source.get_layer("positions").get_weights()[0].reshape(-1, spec.width)
    sides = [network.input.shape[1] // spec.patch for network in (source, target)]
    resized = resize_positions(learned, sides[0], sides[1], extra=spec.extra_tokens, antialias=spec.antialias)
    target.get_layer("positions").set_weights([resized.reshape(1, -1)])


def resize_positions(learned: np.ndarray, before: int, after: int, *, extra: int, antialias: bool) -> np.ndarray:
    """Return embeddings of positions for another grid of patches.

    Args:
        learned: Shape (tokens, width), those of the extra tokens first.
        before: Patches along a side of the image.
        after: The same afterwards.
        extra: Tokens that have no place.
        antialias: Whether to smooth before the grid gets smaller.
    """
    if before == after:
        return learned
    grid = learned[extra:].reshape(1, before, before, -1)
    resized = keras.ops.image.resize(
        grid, (after, after), interpolation="bicubic", antialias=antialias, data_format="channels_last"
    )
    return np.concatenate([learned[:extra], keras.ops.convert_to_numpy(resized).reshape(after**2, -1)])


def _add_block(spec: Transformer, inputs: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Add a block: attention and dense layers, each behind a normalization and beside a path that skips it."""
    x = layers.LayerNormalization(epsilon=spec.epsilon, name=f"{name}_norm1")(inputs)
    x = layers.MultiHeadAttention(
        spec.heads, spec.width // spec.heads, use_bias=spec.attention_bias, name=f"{name}_attention"
    )(x, x)
    middle = layers.Add(name=f"{name}_add1")([inputs, _scale(spec, x, f"{name}_scale1")])
    x = layers.LayerNormalization(epsilon=spec.epsilon, name=f"{name}_norm2")(middle)
    x = layers.Dense(spec.width, use_bias=spec.mlp_bias, name=f"{name}_dense2")(_add_wide(spec, x, name))
    return layers.Add(name=f"{name}_add2")([middle, _scale(spec, x, f"{name}_scale2")])


def _add_wide(spec: Transformer, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Add a block's first dense layer and its activation."""

    def dense(activation: str | None, part: str) -> keras.KerasTensor:
        return layers.Dense(spec.mlp, activation=activation, use_bias=spec.mlp_bias, name=f"{name}_{part}")(x)

    if spec.activation == "gelu":
        return dense("gelu", "dense1")
    if spec.activation == "swiglu":
        return layers.Multiply(name=f"{name}_gated")([dense("silu", "gate"), dense(None, "dense1")])
    wide = dense(None, "dense1")
    # Keras names no GELU by tanh that a saved model could hold.
    square = layers.Multiply(name=f"{name}_square")([wide, wide])
    factor = layers.Rescaling(GELU_B, offset=GELU_A, name=f"{name}_factor")(square)
    exponent = layers.Multiply(name=f"{name}_exponent")([wide, factor])
    gate = layers.Activation("sigmoid", name=f"{name}_sigmoid")(exponent)
    return layers.Multiply(name=f"{name}_gelu")([wide, gate])


def _scale(spec: Transformer, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Multiply each channel by a learned factor, where the network has such factors."""
    if not spec.layer_scale:
        return x
    return layers.DepthwiseConv1D(1, use_bias=False, depthwise_initializer="ones", name=name)(x)
