"""A packed model says what the network says, is the same for the same network, and notices what does not fit."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.serving.packed import CLASSES, draw_image, pack_small
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.images import store
from unfreeze.serving.classifier import Classifier


def test_a_package_gives_the_probabilities_of_the_keras_file(packed: Path) -> None:
    folder = packed.parents[1]
    pixels = store.read_pixels(folder / "images.h5", range(20))
    expected = keras.models.load_model(folder / "from_scratch.keras").predict_on_batch(pixels)
    said = list(Classifier(packed, batch_size=8).classify([pixels[:8], pixels[8:16], pixels[16:]]))
    assert [len(answers) for answers in said] == [8, 8, 4]
    np.testing.assert_allclose(np.concatenate([answers.probabilities for answers in said]), expected, atol=1e-5)


def test_an_image_of_the_training_fold_is_its_own_nearest(packed: Path) -> None:
    classifier = Classifier(packed)
    (answers,) = classifier.classify([classifier.load(packed.parents[1] / "raw/red/0.png")[None]])
    assert classifier.reference.ids[answers.nearest.rows[0, 0]] == "red/0.png"
    assert answers.nearest.distances[0, 0] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_an_image_farther_than_a_threshold_is_unlike_the_training_images(
    packed: Path, tmp_path: Path, distance: str
) -> None:
    folder = Path(shutil.copytree(packed, tmp_path / "copy"))
    pixels = [np.asarray(draw_image("red", 50).resize((32, 32)))[None]]
    (answers,) = Classifier(folder).classify(pixels)
    assert answers.reasons != ["unlike training"]
    described = files.read_json(folder / "model.json")
    described["unlike"][distance] = described["unlike"][distance] * float(answers.unlikeness[0]) / 100
    files.write_json(folder / "model.json", described)
    assert [one.reasons for one in Classifier(folder).classify(pixels)] == [["unlike training"]]


def test_the_same_network_gives_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    again = pack_small(tmp_path)
    for path in packed.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_a_package_says_of_itself(packed: Path) -> None:
    model = Classifier(packed).model
    assert model.classes == CLASSES
    assert (model.size, model.backbone, model.calibration_images) == (32, "from_scratch", 0)
    assert model.model_sha256 == files.hash_file(packed.parents[1] / "from_scratch.keras")
    assert model.unsure.images == model.unlike.images == 15


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.bin").unlink(), "is no packed model, it lacks model.bin"),
        (lambda folder: (folder / "model.xml").write_text("<"), "cannot be read by OpenVINO"),
        (lambda folder: (folder / "reference.npz").write_bytes(b"PK"), "reference.npz is damaged"),
        (
            lambda folder: files.write_json(
                folder / "model.json", {**files.read_json(folder / "model.json"), "format": 99}
            ),
            "another version of unfreeze",
        ),
    ],
)
def test_a_damaged_package_is_refused_in_one_line(packed: Path, tmp_path: Path, damage, message: str) -> None:
    folder = Path(shutil.copytree(packed, tmp_path / "copy"))
    damage(folder)
    with pytest.raises(UnfreezeError, match=message) as caught:
        Classifier(folder).try_example()
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_found_by_the_example(packed: Path, tmp_path: Path) -> None:
    other = pack_small(tmp_path / "other", seed=1)
    folder = Path(shutil.copytree(packed, tmp_path / "copy"))
    shutil.copyfile(other / "model.bin", folder / "model.bin")
    with pytest.raises(UnfreezeError, match="its files do not belong together"):
        Classifier(folder).try_example()
    Classifier(packed).try_example()
