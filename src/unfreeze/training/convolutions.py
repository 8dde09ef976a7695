"""Convolutions, and swish, in a form that trains faster on a CPU: same weights, same values but for rounding."""

from collections import Counter
from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

from unfreeze.models import graph

KINDS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)


def replace_convolutions(model: keras.Model) -> keras.Model:
    """Return a model for training with BatchNorm in inference mode; it shares all weights.

    Such a BatchNorm is a scale and a shift of each channel. Behind a convolution the scale goes into the kernel and
    the shift becomes the bias, so that no pass over the activations is left of it, forwards or backwards: the
    gradients of its weights follow from those of the kernel. A convolution of one pixel becomes a product of
    matrices, whose gradient of the kernel TensorFlow computes faster. One with a group for each channel, as in
    ConvNeXt, becomes a convolution of depth, where Keras would compile it by XLA. Swish gets a shorter gradient.

    Args:
        model: A functional model.

    Returns:
        A functional model of the same inputs and outputs. Its BatchNorm must stay in inference mode.
    """
    convolution_of = _find_pairs(model)
    folded = {id(layer) for layer in convolution_of.values()}

    def replace(layer: layers.Layer) -> layers.Layer:
        if id(layer) in convolution_of:
            return Convolution(convolution_of[id(layer)], layer)
        if id(layer) in folded:
            return layers.Identity(name=f"before_{layer.name}")
        if _is_swish(layer):
            return Swish(layer)
        return Convolution(layer) if _is_pointwise(layer) or is_of_each_channel(layer) else layer

    return keras.models.clone_model(model, clone_function=replace, recursive=True)


def list_slow_in_bfloat16(model: keras.Model) -> list[str]:
    """Return the types of TensorFlow's operations that the gradients of a model compute slower in bfloat16.

    Of a convolution of depth with strides it is the gradient of the inputs: oneDNN takes 8 to 20 times as long for it
    as in float32.

    Args:
        model: What `replace_convolutions` returns.
    """
    of_depth = (layers.DepthwiseConv2D, layers.SeparableConv2D)
    replaced = graph.iterate_operations(model)
    kinds = (layer.layer if isinstance(layer, Convolution) else layer for layer in replaced)
    is_strided = any(max(layer.strides) > 1 for layer in kinds if isinstance(layer, of_depth))
    return ["DepthwiseConv2dNativeBackpropInput"] if is_strided else []


class Convolution(layers.Layer):
    """A convolution, also a separable one or one of depth alone, with the BatchNorm behind it in inference mode.

    Args:
        layer: The layer whose weights, strides, padding and activation are taken.
        norm: The BatchNorm that follows it.
    """

    def __init__(self, layer: layers.Layer, norm: layers.BatchNormalization | None = None) -> None:
        super().__init__(name=f"{(norm or layer).name}_for_training")
        self.layer = layer
        self.norm = norm
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return what the layers return one after the other; a BatchNorm in inference mode ignores the mask, too."""
        layer = self.layer
        scale, bias = self._find_scale_and_bias()
        if isinstance(layer, layers.DepthwiseConv2D):
            outputs = self._convolve_depth(inputs, layer.kernel * ops.reshape(scale, layer.kernel.shape[2:]))
            outputs = _add(outputs, bias)
        elif isinstance(layer, layers.SeparableConv2D):
            inputs = self._convolve_depth(inputs, layer.depthwise_kernel)
            outputs = _multiply(inputs, layer.pointwise_kernel * scale, bias)
        elif is_of_each_channel(layer):
            kernel = ops.transpose(layer.kernel * scale, (0, 1, 3, 2))
            outputs = _add(self._convolve_depth(inputs, kernel), bias)
        elif _is_pointwise(layer):
            rows, columns = layer.strides
            # Without the condition the gradient is written into zeros of the same size once more.
            inputs = inputs if rows == columns == 1 else inputs[:, ::rows, ::columns]
            outputs = _multiply(inputs, layer.kernel * scale, bias)
        else:
            outputs = _add(layer.convolution_op(inputs, layer.kernel * scale), bias)
        return layer.activation(outputs)

    def _find_scale_and_bias(self) -> tuple[Any, Any]:
        """Return what each output channel is multiplied by and what is added; None where nothing is."""
        norm, bias = self.norm, self.layer.bias
        if norm is None:
            return 1.0, bias
        scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
        if norm.gamma is not None:
            scale *= norm.gamma
        shift = (0.0 if bias is None else bias) - norm.moving_mean
        return scale, shift * scale + (0.0 if norm.beta is None else norm.beta)

    def _convolve_depth(self, inputs: Any, kernel: Any) -> Any:
        layer = self.layer
        return ops.depthwise_conv(inputs, kernel, layer.strides, layer.padding, dilation_rate=layer.dilation_rate)


class Swish(layers.Layer):
    """Swish, whose gradient takes four passes over the activations instead of seven.

    Args:
        layer: The layer of this activation in whose place it stands.
    """

    def __init__(self, layer: layers.Layer) -> None:
        super().__init__(name=f"{layer.name}_in_training")

    def call(self, inputs: Any) -> Any:
        """Return inputs * sigmoid(inputs)."""
        return _compute_swish(inputs)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _compute_swish(inputs: tf.Tensor) -> tuple[tf.Tensor, Any]:
    outputs = inputs * tf.sigmoid(inputs)

    def differentiate(upstream: tf.Tensor) -> tf.Tensor:
        # This operation is upstream * sigmoid(inputs) in one pass; the derivative has 1 + inputs - outputs besides.
        return tf.raw_ops.SoftplusGrad(gradients=upstream, features=inputs) * (1 + (inputs - outputs))

    return outputs, differentiate


def _multiply(inputs: Any, kernel: Any, bias: Any) -> Any:
    of_channels = ops.reshape(inputs, (-1, inputs.shape[-1]))
    outputs = _add(ops.matmul(of_channels, ops.reshape(kernel, kernel.shape[2:])), bias)
    return ops.reshape(outputs, (-1, *inputs.shape[1:-1], kernel.shape[-1]))


def _add(outputs: Any, bias: Any) -> Any:
    # TensorFlow joins this operation with the one before it, and does not join an addition.
    return outputs if bias is None else tf.nn.bias_add(outputs, bias)


def _find_pairs(model: keras.Model) -> dict[int, layers.Layer]:
    """Return the convolution before each BatchNorm that can be folded into it, by the identity of the BatchNorm."""
    operations = model.operations
    users = Counter(id(producer) for operation in operations for producer in graph.list_producers(operation))
    users.update(map(id, graph.find_producers(model.outputs)))
    pairs: dict[int, layers.Layer] = {}
    for operation in operations:
        # A Sequential, as between the stages of ConvNeXt, has no graph of its own, and its layers stay as they are.
        if hasattr(operation, "operations"):
            pairs |= _find_pairs(operation)
        elif type(operation) is layers.BatchNormalization and operation.axis in (-1, 3):
            (producer,) = graph.list_producers(operation)
            if _can_take_norm(producer) and users[id(producer)] == 1:
                pairs[id(operation)] = producer
    return pairs


def _can_take_norm(layer: Any) -> bool:
    if type(layer) not in KINDS or layer.data_format != "channels_last":
        return False
    return bool(layer.activation == keras.activations.linear)


def _is_swish(layer: Any) -> bool:
    return type(layer) is layers.Activation and layer.activation is keras.activations.silu


def is_of_each_channel(layer: Any) -> bool:
    """Return whether a layer is a convolution with a group for each channel, and not by its class one of depth."""
    if type(layer) is not layers.Conv2D or layer.data_format != "channels_last":
        return False
    return bool(1 < layer.groups == layer.filters and layer.kernel.shape[2] == 1)


def _is_pointwise(layer: layers.Layer) -> bool:
    if type(layer) not in (layers.Conv2D, layers.SeparableConv2D):
        return False
    if layer.data_format != "channels_last" or layer.dilation_rate != (1, 1):
        return False
    return isinstance(layer, layers.SeparableConv2D) or (layer.kernel_size == (1, 1) and layer.groups == 1)
