"""ONNX."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unfreeze.serving.export.registry import Format, Material, register

ARTEFACT = "model.onnx"


def write(material: Material, folder: Path) -> None:
    """Convert the Keras model."""
    with warnings.catch_warnings():
        # Keras looks for numpy.object, which NumPy announces for a later version.
        warnings.simplefilter("ignore", FutureWarning)
        network = material.network()
        inline_statistics(network)
        # tf2onnx's own from_keras fails on models of Keras 3.
        network.export(folder / ARTEFACT, format="onnx", verbose=False)


def inline_statistics(network: Any) -> None:
    """Make the means and variances of a network's normalizations arrays, which become constants where it is traced.

    As tensors they would be captured, and tf2onnx makes each captured tensor an input of the model.

    Args:
        network: A Keras model; its answers stay the same.
    """
    import keras
    import numpy as np

    for layer in _list_layers(network):
        if isinstance(layer, keras.layers.Normalization):
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)


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
