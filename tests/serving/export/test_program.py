"""predict.py of each format gives the project's answers, alone with its runtime, numpy and Pillow."""

import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.serving.export.conftest import FORMATS
from tests.serving.golden import write_golden
from unfreeze import files
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.export import environment
from unfreeze.serving.export.program import Program

pytestmark = pytest.mark.slow

RUNTIMES = {"openvino", "onnxruntime", "ai_edge_litert", "tensorflow"}


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_golden(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("name", FORMATS)
def test_image_files_get_the_answers_of_the_project(
    exported, packed: Path, golden, tmp_path: Path, name: str
) -> None:
    folder = exported[0] / name
    runtime = files.read_json(folder / "model.json")["requirements"][0].partition("==")[0]
    packages = environment.find_packages([runtime, "numpy", "pillow"])
    python = environment.make_environment(tmp_path / "environment", packages)
    assert environment.run_isolated(python, ["-c", "import unfreeze"], seconds=60).returncode == 1
    done = environment.run_isolated(python, [str(folder / "predict.py"), "--json", *map(str, golden)], seconds=300)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("error") for row in said] == [None] * len(golden), done.stderr

    classifier = Classifier(packed)
    pixels = np.stack([classifier.load(path) for path in golden])
    if name == "openvino-int8":
        # 8 bits answer otherwise; they see the same pixels.
        expected = np.concatenate([some for some, _ in Program(folder).run([pixels])])
    else:
        answers = list(classifier.classify(pixels[start : start + 8] for start in range(0, len(pixels), 8)))
        expected = np.concatenate([some.probabilities for some in answers])
        assert [row["reason"] for row in said] == [reason for some in answers for reason in some.reasons]
    found = np.array([[row["probabilities"][label] for label in classifier.classes] for row in said])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [row["class"] for row in said] == [classifier.classes[number] for number in expected.argmax(axis=1)]


def test_image_files_become_the_pixels_of_the_project(exported, packed: Path, golden) -> None:
    program, classifier = Program(exported[0] / "openvino").module, Classifier(packed)
    others = [path.name for path in golden if not np.array_equal(program.load(path), classifier.load(path))]
    assert others == []
    assert len({program.load(path).tobytes() for path in golden}) > 20


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: Image.new("F", (8, 8)).save(path, "TIFF"), "which values are black and white"),
        (lambda path: Image.new("I", (8, 8)).save(path, "TIFF"), "which values are black and white"),
        (
            lambda path: path.write_bytes(b"P6 8 8 65535\n" + np.full((8, 8, 3), 200, ">u2").tobytes()),
            "use the lower bits alone.*: store 8 bits a colour",
        ),
        (lambda path: Image.new("1", (1100, 1000)).save(path, "PNG"), "1100 x 1000 pixels are more than 1,000,000"),
        (lambda path: path.write_text("no image"), "cannot identify"),
        (lambda path: Image.new("RGB", (8, 8)).save(path, "PDF"), "cannot identify"),
    ],
    ids=["float", "signed", "lower bits", "too large", "text", "another format"],
)
def test_what_it_does_not_read_is_refused(exported, tmp_path: Path, write, message: str) -> None:
    write(tmp_path / "image")
    with pytest.raises(Exception, match=message):
        Program(exported[0] / "openvino").module.load(tmp_path / "image")


def test_people_read_classes_percentages_and_doubts(exported, golden, tmp_path: Path) -> None:
    python = environment.make_environment(tmp_path / "environment", environment.find_packages(["openvino", "pillow"]))
    arguments = [str(exported[0] / "openvino/predict.py"), str(golden[0]), str(tmp_path / "missing.png")]
    lines = environment.run_isolated(python, arguments, seconds=60).stdout.splitlines()
    assert lines[0].startswith(f"{golden[0]}: ")
    assert lines[0].count(" %") == 3
    assert lines[0].endswith(("(unlike training)", "(unsure)", "%"))
    assert "missing.png: error: " in lines[1]


@pytest.mark.parametrize("name", FORMATS)
def test_it_is_short_and_imports_what_is_promised(exported, name: str) -> None:
    text = (exported[0] / name / "predict.py").read_text()
    assert len(text.splitlines()) <= 60
    assert max(map(len, text.splitlines())) <= 118
    nodes = list(ast.walk(ast.parse(text)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    roots = {module.partition(".")[0] for module in imported}
    assert roots - set(sys.stdlib_module_names) - {"numpy", "PIL"} <= RUNTIMES
    assert len(roots & RUNTIMES) == 1
