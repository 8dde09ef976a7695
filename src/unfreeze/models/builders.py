"""Networks without their top, from keras.applications, KerasHub, a function of one's own or a `.keras` file.

A network of one's own is refused here, by name, where a later stage could not use it: it must be a functional graph
of Keras' own layers from one image to one feature map or one row of tokens.
"""

import importlib
from pathlib import Path
from typing import Any

import keras

from unfreeze.errors import UnfreezeError, shorten
from unfreeze.models import graph
from unfreeze.models.own_backbones import find_plugin
from unfreeze.models.table import Row
from unfreeze.models.transformer import build_transformer
from unfreeze.runtime.plugins import import_file

# Layers that change what pixels are scaled to.
SCALING_LAYERS = (keras.layers.Rescaling, keras.layers.Normalization)


def build_network(row: Row, size: int) -> keras.Model:
    """Build the network of a row, without its top, with untrained weights.

    Args:
        row: The backbone; not the CNN from scratch.
        size: Image side, pixels.

    Returns:
        A functional model from (batch, size, size, 3) to (batch, height, width, channels), or to (batch, tokens,
        channels), both float32.

    Raises:
        UnfreezeError: The network cannot be built, or not be used as a backbone.
    """
    assert row.builder is not None
    if row.origin == "file":
        network = _resize(row, read_keras_file(row), size)
    elif row.transformer is not None:
        network = keep_output(row, build_transformer(row.transformer, size, name=row.name))
    elif row.origin == "hub":
        network = _resize(row, keep_output(row, _read_hub(row)), size)
    elif row.origin == "function":
        network = keep_output(row, _call(row, _import_function(row), size))
    else:
        network = keep_output(row, _call(row, find_application(row.builder), size))
    if row.is_own:
        _require_usable(row, network, size)
    return network


def find_application(builder: str) -> Any:
    """Return a function of keras.applications, with `size` as its one argument."""
    function = getattr(keras.applications, builder, None)
    if function is None:
        raise UnfreezeError(f"keras.applications has no builder {builder!r}: correct builder in conf/backbones")
    return lambda size: function(weights=None, include_top=False, input_shape=(size, size, 3))


def read_keras_file(row: Row) -> keras.Model:
    """Return the network in a row's `.keras` file, at the size it was saved with, with its weights.

    Args:
        row: A backbone whose builder is a file.

    Raises:
        UnfreezeError: The file cannot be read, or holds code or layers that are not Keras' own.
    """
    path = Path(str(row.builder)).expanduser()
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    # Keras raises nearly anything on damaged files, Lambda layers and unknown classes.
    except Exception as error:
        raise UnfreezeError(
            f"backbone {row.name}: {path} could not be loaded ({shorten(error)}): give a file that Keras 3 "
            "saved, of Keras' own layers, without Lambda and without classes of yours"
        ) from error
    return keep_output(row, model)


def _read_hub(row: Row) -> keras.Model:
    """Return KerasHub's network of a preset of convolutions, with random weights."""
    from unfreeze.models import hub

    network = hub.read_preset(str(row.builder), weights=False)
    if len(network.inputs) != 1:
        raise UnfreezeError(f"backbone {row.name}: {row.builder} takes {len(network.inputs)} inputs, expected one")
    # Its own class lacks what a saved model needs.
    return keras.Model(network.inputs[0], network.outputs[0], name=row.name)


def _import_function(row: Row) -> Any:
    module_name, _, name = str(row.builder).partition(":")
    file = find_plugin(module_name)
    if file and not file.is_file():
        raise UnfreezeError(f"backbone {row.name}: there is no file {file}: correct builder, or write {name} in it")
    try:
        module = import_file(module_name, file) if file else importlib.import_module(module_name)
    except ImportError as error:
        raise UnfreezeError(
            f"backbone {row.name}: there is no module {module_name} ({error}): correct builder, or write "
            "the function into a file in plugins/backbones"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise UnfreezeError(f"backbone {row.name}: {file or module_name} has no function {name!r}: correct builder")
    return function


def _call(row: Row, function: Any, size: int) -> Any:
    try:
        return function(size)
    except UnfreezeError:
        raise
    except Exception as error:
        if not row.is_own:
            raise
        raise UnfreezeError(
            f"backbone {row.name}: {row.builder} failed at image side {size} "
            f"({shorten(error, named=True)}): correct it, or set preprocess.image_size"
        ) from error


def keep_output(row: Row, model: Any) -> keras.Model:
    """Return the part of a network up to the row's last layer, or the nested network of that name."""
    if not isinstance(model, keras.Model):
        raise UnfreezeError(
            f"backbone {row.name}: {row.builder} gives a {type(model).__name__}, expected a keras.Model"
        )
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs, name=model.name)
    if not hasattr(model, "operations"):
        raise UnfreezeError(
            f"backbone {row.name}: {row.builder} gives a subclass of keras.Model ({type(model).__name__}), which has "
            "no graph of layers: build it as keras.Model(inputs, outputs)"
        )
    if row.output is not None:
        if row.output not in {layer.name for layer in model.layers}:
            raise UnfreezeError(
                f"backbone {row.name}: no layer is called {row.output!r}: set output to one of its layers, the last "
                f"of which are {', '.join(layer.name for layer in model.layers[-5:])}"
            )
        layer = model.get_layer(row.output)
        model = layer if isinstance(layer, keras.Model) else keras.Model(model.inputs, layer.output, name=model.name)
    if not row.is_own:
        return model
    _require_features(row, model)
    network = keras.Model(model.inputs[0], model.outputs[0], name=row.name)
    for layer in network.layers:
        # A saved network may have been frozen.
        layer.trainable = True
    return network


def _require_features(row: Row, model: keras.Model) -> None:
    """Refuse a network that does not make one feature map, or one row of tokens, of one image."""
    inputs, outputs = ([tuple(tensor.shape[1:]) for tensor in tensors] for tensors in (model.inputs, model.outputs))
    if len(inputs) != 1 or len(inputs[0]) != 3 or inputs[0][2] != 3:
        raise UnfreezeError(f"backbone {row.name}: its inputs are {inputs}, expected one of (height, width, 3)")
    if len(outputs) != 1 or len(outputs[0]) not in (2, 3):
        raise UnfreezeError(
            f"backbone {row.name}: its outputs are {outputs}, expected one of (height, width, channels) or (tokens, "
            "channels): give it without its top, or name the last layer to keep as output"
        )


def _resize(row: Row, model: keras.Model, size: int) -> keras.Model:
    """Return an untrained copy of a network for images of another size."""
    try:
        return keras.models.clone_model(model, input_tensors=keras.Input((size, size, 3)))
    except Exception as error:
        raise UnfreezeError(
            f"backbone {row.name}: {row.builder} takes no images of side {size} ({shorten(error)}): "
            f"set preprocess.image_size={row.native_size}, or correct native_size"
        ) from error


def _require_usable(row: Row, model: keras.Model, size: int) -> None:
    """Refuse a network of another size, one that cannot be saved, and one that scales pixels a second time."""
    received = tuple(model.inputs[0].shape[1:])
    if received != (size, size, 3):
        raise UnfreezeError(
            f"backbone {row.name}: {row.builder} was asked for images of side {size} and takes {received}: "
            "use the side that it is called with"
        )
    for layer in graph.iterate_operations(model):
        if isinstance(layer, keras.layers.Lambda) or not type(layer).__module__.startswith("keras."):
            raise UnfreezeError(
                f"backbone {row.name}: its layer {layer.name} is a {type(layer).__name__}, whose code a saved model "
                "does not hold: use Keras' own layers"
            )
    if row.pixels in {"tf", "caffe", "torch"} and isinstance(model.operations[1], SCALING_LAYERS):
        raise UnfreezeError(
            f"backbone {row.name}: its first layer, {model.operations[1].name}, scales pixels that pixels: "
            f"{row.pixels} has scaled already: set pixels: inside, or take the layer out"
        )
