"""A study in bfloat16 is evaluated and served in bfloat16: all ways to ask give the same probabilities."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.answers import WAYS, require_alike, serve
from tests.serving.export.conftest import make_source
from tests.serving.golden import score_golden, write_golden
from tests.serving.packed import CLASSES, EXTRACT, pack_small
from unfreeze import files
from unfreeze.cli.main import main
from unfreeze.serving.export import write
from unfreeze.serving.export.program import Program
from unfreeze.serving.export.registry import find_formats

BFLOAT16 = EXTRACT.model_copy(update={"precision": "bfloat16"})
# All ways run the same network and round in the same places, but for another number of images a call OpenVINO may add
# up sums in another order, so that a number is rounded to its neighbour. bfloat16 has 8 significant bits: rounding
# changes a probability by at most 2**-9.
ATOL = 2.0**-9

pytestmark = pytest.mark.slow


def spread(model: Any) -> None:
    """Make probabilities differ from image to image as a trained network's do."""
    head = model.layers[-1]
    head.set_weights([40 * values for values in head.get_weights()])


def multiplies_bfloat16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_golden_images_get_the_probabilities_that_evaluate_computes(tmp_path: Path) -> None:
    package = pack_small(tmp_path / "made", extract=BFLOAT16, change=spread)
    assert files.read_json(package / "model.json")["precision"] == "bfloat16"
    images = write_golden(tmp_path / "golden")
    model = package.parents[1] / f"{package.name}.keras"
    expected = score_golden(model, images, tmp_path / "golden.h5", BFLOAT16)

    main(["predict", *map(str, images), "--model", str(package), "--out", str(tmp_path / "rows.csv")])
    rows = files.read_csv(tmp_path / "rows.csv")[[f"probability_{name}" for name in CLASSES]]
    require_alike(rows.to_numpy("float64"), expected, "predict", atol=ATOL)
    with serve(package, tmp_path / "checkout") as asked:
        for way, ask in WAYS.items():
            require_alike(ask(asked, images), expected, way, atol=ATOL)
    if multiplies_bfloat16():
        # A way that computes in float32 is noticed.
        exact = score_golden(model, images, tmp_path / "exact.h5")
        assert np.abs(exact - expected).max() > 2 * ATOL


def test_an_export_gives_golden_images_the_probabilities_of_float32(tmp_path: Path) -> None:
    package = pack_small(tmp_path / "made", extract=BFLOAT16, change=spread)
    images = write_golden(tmp_path / "golden")
    expected = score_golden(package.parents[1] / f"{package.name}.keras", images, tmp_path / "golden.h5")
    write.export(make_source(package), find_formats("openvino"), tmp_path / "out")
    program = Program(tmp_path / "out/openvino").module
    answers = [program.answer(program.load(path))[0] for path in images]
    require_alike(np.array([[answer[name] for name in CLASSES] for answer in answers]), expected)
