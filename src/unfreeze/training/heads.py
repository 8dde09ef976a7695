"""The layers after the backbone."""

from collections.abc import Sequence

import keras
import numpy as np

from unfreeze.errors import UnfreezeError
from unfreeze.settings.training import DenseSpec, DropoutSpec, HeadLayer


def build_head(layers: Sequence[HeadLayer], *, features: tuple[int, ...], classes: int, output: str) -> keras.Model:
    """Build the layers from the backbone's output to class probabilities.

    Args:
        layers: Layers between the backbone and the last dense layer, in order.
        features: Shape of the backbone's output without the batch: (height, width, channels) or (tokens, channels).
        classes: Number of classes, at least 2.
        output: `softmax`, or `sigmoid` for two classes: one unit, the probability of the second class.

    Returns:
        A functional model from the batch of features, float32, to (batch, classes) float32 probabilities, of
        standard Keras layers only.

    Raises:
        UnfreezeError: `sigmoid` with more than two classes, the class token of features that are no tokens, or layers
            whose output is not a vector.
    """
    if output == "sigmoid" and classes != 2:
        raise UnfreezeError(f"head.output sigmoid is for 2 classes, the data has {classes}: use head.output=softmax")
    inputs = keras.Input(features, name="features")
    x = inputs
    for spec in layers:
        x = _add_layer(spec, x)
    if len(x.shape) != 2:
        raise UnfreezeError(
            f"head.layers end in shape {tuple(x.shape[1:])}, expected a vector: add global_average_pooling or flatten"
        )
    if output == "softmax":
        probabilities = keras.layers.Dense(classes, activation="softmax", name="probabilities")(x)
    else:
        second = keras.layers.Dense(1, activation="sigmoid", name="second_class")(x)
        first = keras.layers.Rescaling(-1.0, offset=1.0, name="first_class")(second)
        probabilities = keras.layers.Concatenate(name="probabilities")([first, second])
    return keras.Model(inputs, probabilities, name="head")


def replace_dropout(head: keras.Model, rate: float) -> keras.Model:
    """Return a copy of a head with another rate in its dropout layers.

    Args:
        head: From `build_head`.
        rate: Share of values that training sets to zero, in [0, 1).

    Raises:
        UnfreezeError: The head has no dropout layer.
    """
    require_dropout(head, rate)

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        changed = {"rate": rate} if isinstance(layer, keras.layers.Dropout) else {}
        return type(layer).from_config({**layer.get_config(), **changed})

    copied = keras.models.clone_model(head, clone_function=copy)
    copied.set_weights(head.get_weights())
    return copied


def apply_temperature(head: keras.Model, temperature: float) -> None:
    """Divide what a head's softmax or sigmoid is given by a temperature, in its last weights.

    The file then needs no further layer, and whatever loads it gives calibrated probabilities.

    Args:
        head: From `build_head`; changed in place.
        temperature: Above 0; 1 changes nothing.
    """
    last = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)][-1]
    last.set_weights([weight / np.float32(temperature) for weight in last.get_weights()])


def require_dropout(head: keras.Model, rate: float) -> None:
    """Require that a head has a dropout layer, so that its rate can be changed.

    Args:
        head: From `build_head`.
        rate: The wanted rate, for the message.

    Raises:
        UnfreezeError: The head has no dropout layer.
    """
    if not any(isinstance(layer, keras.layers.Dropout) for layer in head.layers):
        raise UnfreezeError(
            f"dropout {rate:g} for a head without a dropout layer: add {{dropout: {rate:g}}} to head.layers"
        )


def _add_layer(spec: HeadLayer, x: keras.KerasTensor) -> keras.KerasTensor:
    match spec:
        case "global_average_pooling" if len(x.shape) == 3:
            return keras.layers.GlobalAveragePooling1D()(x)
        case "global_average_pooling":
            return keras.layers.GlobalAveragePooling2D()(x)
        case "class_token":
            if len(x.shape) != 3:
                raise UnfreezeError(
                    f"head.layers: class_token of features of shape {tuple(x.shape[1:])}, which are no tokens: take "
                    "global_average_pooling"
                )
            return keras.layers.Flatten()(keras.layers.Cropping1D((0, x.shape[1] - 1))(x))
        case "flatten":
            return keras.layers.Flatten()(x)
        case "batch_normalization":
            return keras.layers.BatchNormalization()(x)
        case DenseSpec(dense=units):
            return keras.layers.Dense(units, activation="relu")(x)
        case DropoutSpec(dropout=rate):
            return keras.layers.Dropout(rate)(x)
