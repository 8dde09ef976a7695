"""TensorFlow's own format, as TensorFlow Serving takes it."""

import platform
from pathlib import Path

from unfreeze.serving.export.registry import Format, Material, register

ARTEFACT = "saved_model"


def write(material: Material, folder: Path) -> None:
    """Write the Keras model."""
    material.network().export(folder / ARTEFACT, format="tf_saved_model", verbose=False)


register(
    Format(
        name="saved_model",
        artefacts=(ARTEFACT,),
        write=write,
        imports="import tensorflow",
        setup='NETWORK = tensorflow.saved_model.load(str(HERE / "saved_model"))',
        run="NETWORK.serve(pixels)",
        # The CPU build has no wheels for macOS.
        runtime="tensorflow" if platform.system() == "Darwin" else "tensorflow-cpu",
    )
)
