"""OpenVINO's format with 8-bit weights and activations (post-training quantization)."""

import logging
from pathlib import Path

from unfreeze.serving.classifier import NETWORK, WEIGHTS
from unfreeze.serving.export.formats import openvino as float32
from unfreeze.serving.export.registry import Format, Material, register


def write(material: Material, folder: Path) -> None:
    """Quantize the network; ranges of activations are those on training images."""
    from unfreeze.models.engine import refuse_telemetry

    refuse_telemetry()
    import nncf
    import openvino

    from unfreeze.serving import package

    # The logger alone: nncf.set_log_level also raises the level of each handler, those of others included.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    images = list(material.calibration())
    network = openvino.Core().read_model(material.package / NETWORK)
    quantized = nncf.quantize(network, nncf.Dataset(images), subset_size=len(images))
    package.save_network(quantized, folder / NETWORK)


register(
    Format(
        name="openvino-int8",
        artefacts=(NETWORK, WEIGHTS),
        write=write,
        imports=float32.IMPORTS,
        setup=float32.SETUP,
        run=float32.RUN,
        runtime="openvino",
        modules=("nncf",),
        tolerance=None,
    )
)
