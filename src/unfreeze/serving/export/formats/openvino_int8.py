"""OpenVINO's format with 8-bit weights and activations (post-training quantization)."""

from pathlib import Path

from unfreeze.serving.classifier import NETWORK, WEIGHTS
from unfreeze.serving.export.formats import openvino as float32
from unfreeze.serving.export.registry import Format, Material, register


def write(material: Material, folder: Path) -> None:
    """Quantize the network; ranges of activations are those on training images."""
    from unfreeze.models.compiled import refuse_telemetry
    from unfreeze.models.quantized import quantize
    from unfreeze.serving import package

    # Before OpenVINO is loaded.
    refuse_telemetry()
    import openvino

    network = openvino.Core().read_model(material.package / NETWORK)
    package.save_network(quantize(network, list(material.calibration())), folder / NETWORK)


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
