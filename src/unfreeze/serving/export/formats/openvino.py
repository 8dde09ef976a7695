"""OpenVINO's own format in float32: the network of the packed model as it is."""

import shutil
from pathlib import Path

from unfreeze.serving.classifier import NETWORK, WEIGHTS
from unfreeze.serving.export.registry import Format, Material, register

IMPORTS = "import openvino"
# OpenVINO takes bfloat16 where the processor has it, unless a precision is named.
SETUP = 'NETWORK = openvino.Core().compile_model(HERE / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})'
RUN = "NETWORK(pixels)"


def write(material: Material, folder: Path) -> None:
    """Copy the network."""
    for name in (NETWORK, WEIGHTS):
        shutil.copyfile(material.package / name, folder / name)


register(
    Format(
        name="openvino",
        artefacts=(NETWORK, WEIGHTS),
        write=write,
        imports=IMPORTS,
        setup=SETUP,
        run=RUN,
        runtime="openvino",
    )
)
