"""Models of different image sizes on the same test images."""

from pathlib import Path

import numpy as np

from tests.conftest import Checkout
from tests.serving.packed import pack_small
from unfreeze.images import decoding
from unfreeze.release import scoring
from unfreeze.serving.classifier import Classifier
from unfreeze.settings.params import load


def test_a_model_of_another_size_sees_the_images_decoded_at_its_own(studied: Checkout, tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((20, 20, 3), dtype="uint8")
    pixels = keras.layers.Rescaling(1 / 255)(inputs)
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(pixels))
    small = keras.Model(inputs, outputs)
    small.save(tmp_path / "small.keras")
    paths, params = studied.paths, load(studied.paths.params)
    test = scoring.Test.read(paths)
    models = {"champion": tmp_path / "small.keras", "challenger": paths.model("from_scratch")}
    sides = scoring.score_models(params, paths, test, models)
    images = np.stack([decoding.load_rgb(paths.raw / name, 20, max_pixels=10**9) for name in test.ids])
    assert sides["champion"].predicted.tolist() == small.predict(images, verbose=0).argmax(axis=1).tolist()
    # As the study itself scored the other one.
    assert (sides["challenger"].predicted == test.labels).mean() == studied_accuracy(studied)
    assert sides["champion"].latency_ms > 0
    assert sides["champion"].size_mb == (tmp_path / "small.keras").stat().st_size / 1e6


def test_packages_are_scored_by_the_code_that_serves_each_at_its_own_size(studied: Checkout, tmp_path: Path) -> None:
    paths, params = studied.paths, load(studied.paths.params)
    small, test = pack_small(tmp_path, size=40), scoring.Test.read(paths)
    models = {"champion": small, "challenger": paths.packed("from_scratch")}
    sides = scoring.score_models(params, paths, test, models)
    classifier = Classifier(small)
    said = list(classifier.classify(classifier.load(paths.raw / name)[None] for name in test.ids))
    assert sides["champion"].predicted.tolist() == [int(one.probabilities.argmax()) for one in said]
    assert (sides["challenger"].predicted == test.labels).mean() == studied_accuracy(studied)
    assert sides["champion"].latency_ms > 0
    assert sides["champion"].size_mb >= (small / "model.bin").stat().st_size / 1e6


def studied_accuracy(studied: Checkout) -> float:
    from unfreeze import files

    return float(files.read_json(studied.paths.evaluation("from_scratch"))["accuracy"])
