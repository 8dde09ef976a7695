"""Xception with ImageNet's weights: one answer for a golden image, whichever way it is asked for."""

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.package_index import fetch_xception_weights
from tests.serving.export.conftest import FLOATS, make_source
from tests.serving.golden import score_golden, write_golden
from tests.serving.packed import CLASSES, EVERY_BACKBONE, pack_small
from tests.serving.service.running import Running, run_service, write_binary_v2, write_v2
from tests.tracking.logged import make_checkout
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.export import write
from unfreeze.serving.export.program import Program
from unfreeze.serving.export.registry import find_formats

pytestmark = pytest.mark.slow

SIZE = 96
INFER = "/v2/models/xception/infer"


def load_imagenet(model: Any) -> None:
    """Give a network the weights of Xception; its head stays random."""
    from unfreeze.models.weights import load_file

    base = next(layer for layer in model.layers if layer.name == "xception")
    load_file(base, Path(fetch_xception_weights().file))


@pytest.fixture(scope="module")
def xception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package; tests only read it."""
    return pack_small(tmp_path_factory.mktemp("xception"), backbone="xception", size=SIZE, change=load_imagenet)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_golden(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def expected(xception: Path, golden: list[Path], tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What `evaluate` computes: float64, shape (images, classes)."""
    model = xception.parents[1] / "xception.keras"
    found = score_golden(model, golden, tmp_path_factory.mktemp("store") / "golden.h5")
    # Images that all got one answer would show nothing.
    assert np.ptp(found, axis=0).max() > 0.1
    return found


@pytest.fixture(scope="module")
def service(xception: Path) -> Iterator[Running]:
    with run_service(xception) as one:
        yield one


def compare(said: list[list[float]] | np.ndarray, expected: np.ndarray) -> None:
    """Find out whether probabilities are the expected ones, with the same class."""
    found = np.array(said)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_the_package_answers_as_evaluate_scores(xception: Path, golden: list[Path], expected: np.ndarray) -> None:
    classifier = Classifier(xception)
    answers = classifier.classify(classifier.load(path)[None] for path in golden)
    compare(np.concatenate([some.probabilities for some in answers]), expected)


def test_the_service_answers_the_same(service: Running, golden: list[Path], expected: np.ndarray) -> None:
    answers = [service.ask("/predict", path.read_bytes()).json["predictions"][0] for path in golden]
    compare([[answer["probabilities"][name] for name in CLASSES] for answer in answers], expected)


def test_v2_in_json_answers_the_same(service: Running, golden: list[Path], expected: np.ndarray) -> None:
    wanted = {"outputs": [{"name": "probabilities"}]}
    answers = [service.ask(INFER, write_v2(path.read_bytes(), **wanted)).json for path in golden]
    compare([answer["outputs"][0]["data"] for answer in answers], expected)


def test_v2_in_binary_answers_the_same(service: Running, golden: list[Path], expected: np.ndarray) -> None:
    wanted = {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]}
    said = []
    for path in golden:
        body, length = write_binary_v2(path.read_bytes(), **wanted)
        answer = service.ask(INFER, body, Inference_Header_Content_Length=length)
        rest = answer.body[int(answer.headers["inference-header-content-length"]) :]
        said.append(list(struct.unpack(f"<{len(CLASSES)}d", rest)))
    compare(said, expected)


def test_mlflows_function_answers_the_same(
    xception: Path, golden: list[Path], expected: np.ndarray, tmp_path: Path
) -> None:
    import mlflow

    made = make_checkout(tmp_path / "checkout", xception)
    _, model = made.log()
    location = made.registry.server.client.get_logged_model(model).artifact_location
    texts = [base64.b64encode(path.read_bytes()).decode() for path in golden]
    answers = mlflow.pyfunc.load_model(location).predict(pd.DataFrame({"image": texts}))
    compare(answers[[f"p_{name}" for name in CLASSES]].to_numpy(), expected)
    assert answers["predicted"].tolist() == [CLASSES[number] for number in expected.argmax(axis=1)]


# The other formats take a minute; tests/serving/export/ and EVERY_BACKBONE=1 try them.
@pytest.mark.parametrize("name", FLOATS if EVERY_BACKBONE else ("openvino",))
def test_each_export_answers_the_same(
    xception: Path, golden: list[Path], expected: np.ndarray, tmp_path: Path, name: str
) -> None:
    write.export(make_source(xception), find_formats(name), tmp_path)
    program = Program(tmp_path / name).module
    answers = [program.answer(program.load(path))[0] for path in golden]
    compare([[probabilities[label] for label in CLASSES] for probabilities in answers], expected)
