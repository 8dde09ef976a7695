"""Train = serve: what `evaluate` computes from stored pixels is what a package and its exports say of the files."""

from pathlib import Path

import numpy as np
import pytest

from tests.serving.answers import WAYS, require_alike, serve
from tests.serving.export.conftest import FLOATS, make_source
from tests.serving.golden import score_golden, write_golden
from tests.serving.packed import EVERY_BACKBONE, pack_small
from unfreeze.models.table import TABLE
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.export import write
from unfreeze.serving.export.program import Program
from unfreeze.serving.export.registry import find_formats

# One for each way of scaling pixels.
BACKBONES = TABLE if EVERY_BACKBONE else ("from_scratch", "mobilenetv2", "vgg16", "efficientnetb0")
# One whose pixels are normalized by a layer; tests/serving/export/ tries all formats of one that divides them.
EXPORTED = TABLE if EVERY_BACKBONE else ("vgg16",)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_golden(tmp_path_factory.mktemp("golden"))


def pack(backbone: str, folder: Path) -> Path:
    """Pack a backbone with random weights at the smallest size that it takes."""
    return pack_small(folder, backbone=backbone, size=max(TABLE[backbone].smallest_size, 32))


def classify(package: Path, files: list[Path]) -> np.ndarray:
    """Return the probabilities that `unfreeze predict` gives image files."""
    classifier = Classifier(package)
    pixels = [classifier.load(path)[None] for path in files]
    return np.concatenate([answers.probabilities for answers in classifier.classify(pixels)])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_golden_images_get_the_probabilities_that_evaluate_computes(
    backbone: str, golden: list[Path], tmp_path: Path
) -> None:
    package = pack(backbone, tmp_path)
    expected = score_golden(tmp_path / f"{backbone}.keras", golden, tmp_path / "golden.h5")
    require_alike(classify(package, golden), expected)
    if EVERY_BACKBONE:
        with serve(package, tmp_path / "checkout") as asked:
            for way, ask in WAYS.items():
                require_alike(ask(asked, golden), expected, way)


@pytest.fixture(scope="module")
def packed_backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("packed_backbone", EXPORTED, indirect=True)
def test_golden_images_get_the_same_answers_from_each_export(
    packed_backbone: Path, name: str, golden: list[Path], tmp_path: Path
) -> None:
    write.export(make_source(packed_backbone), find_formats(name), tmp_path)
    program, classes = Program(tmp_path / name).module, Classifier(packed_backbone).classes
    expected = classify(packed_backbone, golden)
    answers = [program.answer(program.load(path))[0] for path in golden]
    said = np.array([[probabilities[label] for label in classes] for probabilities in answers])
    require_alike(said, expected)
