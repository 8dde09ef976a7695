"""ONNX."""

import warnings
from pathlib import Path

from unfreeze.serving.export.registry import Format, Material, register

ARTEFACT = "model.onnx"


def write(material: Material, folder: Path) -> None:
    """Convert the Keras model."""
    with warnings.catch_warnings():
        # Keras looks for numpy.object, which NumPy announces for a later version.
        warnings.simplefilter("ignore", FutureWarning)
        # tf2onnx's own from_keras fails on models of Keras 3.
        material.network().export(folder / ARTEFACT, format="onnx", verbose=False)


register(
    Format(
        name="onnx",
        artefacts=(ARTEFACT,),
        write=write,
        imports="import onnxruntime",
        setup="""\
NAMES = ["probabilities", "features"]
NETWORK = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])""",
        run="dict(zip(NAMES, NETWORK.run(NAMES, {NETWORK.get_inputs()[0].name: pixels})))",
        runtime="onnxruntime",
        modules=("tf2onnx", "onnx", "onnxruntime"),
    )
)
