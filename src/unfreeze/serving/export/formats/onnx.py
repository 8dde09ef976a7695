"""ONNX."""

import functools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.serving.export.registry import Format, Material, register

ARTEFACT = "model.onnx"


def write(material: Material, folder: Path) -> None:
    """Convert the Keras model."""
    with warnings.catch_warnings():
        # Keras looks for numpy.object, which NumPy announces for a later version.
        warnings.simplefilter("ignore", FutureWarning)
        network = replace_groups(material.network())
        inline_statistics(network)
        teach_erfc()
        # tf2onnx's own from_keras fails on models of Keras 3.
        network.export(folder / ARTEFACT, format="onnx", verbose=False)


def replace_groups(network: Any) -> Any:
    """Return a network without convolutions that have a group for each channel: Keras compiles them by XLA.

    tf2onnx knows no calls of what XLA has compiled.

    Args:
        network: A Keras model.

    Returns:
        The same model if it has none, else one with the same weights and, but for rounding, the same answers.
    """
    from unfreeze.training import convolutions

    if not any(convolutions.is_of_each_channel(layer) for layer in _list_layers(network)):
        return network
    replaced = convolutions.replace_convolutions(network)
    # Keras exports what was called at least once.
    replaced.predict_on_batch(np.zeros((1, *network.input.shape[1:]), network.input.dtype))
    return replaced


def inline_statistics(network: Any) -> None:
    """Make the means and variances of a network's normalizations arrays, which become constants where it is traced.

    As tensors they would be captured, and tf2onnx makes each captured tensor an input of the model.

    Args:
        network: A Keras model; its answers stay the same.
    """
    import keras

    for layer in _list_layers(network):
        if isinstance(layer, keras.layers.Normalization):
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)


@functools.cache
def teach_erfc() -> None:
    """Teach tf2onnx the operation Erfc, of which TensorFlow makes GELU: it is 1 - Erf."""
    from tf2onnx import utils
    from tf2onnx.handler import tf_op

    @tf_op("Erfc")  # type: ignore[untyped-decorator, unused-ignore]
    class Erfc:
        @classmethod
        def version_9(cls, ctx: Any, node: Any, **kwargs: Any) -> None:
            shapes, types, (given,), outputs = node.output_shapes, node.output_dtypes, node.input, node.output
            ctx.remove_node(node.name)
            one = ctx.make_const(utils.make_name("one"), np.array(1, utils.map_onnx_to_numpy_type(types[0])))
            erf = ctx.make_node("Erf", [given])
            ctx.make_node("Sub", [one.output[0], erf.output[0]], outputs=outputs, shapes=shapes, dtypes=types)


def _list_layers(network: Any) -> Iterator[Any]:
    for layer in network.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _list_layers(layer)


register(
    Format(
        name="onnx",
        artefacts=(ARTEFACT,),
        write=write,
        imports="import onnxruntime",
        setup='NETWORK = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])',
        run='dict(zip(both := ["probabilities", "features"], '
        "NETWORK.run(both, {NETWORK.get_inputs()[0].name: pixels})))",
        runtime="onnxruntime",
        modules=("tf2onnx", "onnx", "onnxruntime"),
    )
)
