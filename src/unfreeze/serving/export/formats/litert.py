"""LiteRT, for phones and small machines; earlier called TensorFlow Lite."""

from pathlib import Path

from unfreeze.errors import UnfreezeError
from unfreeze.serving.export.registry import Format, Material, register

ARTEFACT = "model.tflite"


def write(material: Material, folder: Path) -> None:
    """Convert the Keras model.

    Raises:
        UnfreezeError: It has operations that LiteRT does not.
    """
    material.network().export(folder / ARTEFACT, format="litert", verbose=False)
    require_builtin(folder / ARTEFACT)


def require_builtin(path: Path) -> None:
    """Refuse a file with operations that LiteRT itself does not have.

    Keras lets the converter leave those to TensorFlow ("Flex"), with which no runtime on PyPI is built.

    Args:
        path: A .tflite file.

    Raises:
        UnfreezeError: Names the operations.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes())
    codes = (model.OperatorCodes(number).CustomCode() for number in range(model.OperatorCodesLength()))
    foreign = sorted(code.decode() for code in codes if code)
    if foreign:
        raise UnfreezeError(
            f"LiteRT lacks operations of this network ({', '.join(foreign)}), and its runtime has no others: "
            "export it as openvino, onnx or saved_model"
        )


register(
    Format(
        name="litert",
        artefacts=(ARTEFACT,),
        write=write,
        imports="import os, ai_edge_litert.interpreter as litert",
        setup='NETWORK = litert.Interpreter(str(HERE / "model.tflite"), num_threads=os.cpu_count())'
        ".get_signature_runner()",
        run="NETWORK(**{name: pixels for name in NETWORK.get_input_details()})",
        runtime="ai-edge-litert",
        modules=("ai_edge_litert",),
    )
)
