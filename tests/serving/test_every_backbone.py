"""Train = serve: what `evaluate` computes from stored pixels is what a packed model says of the files."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.serving.golden import write_golden
from tests.serving.packed import EXTRACT, MAX_PIXELS, pack_small
from unfreeze.images import store
from unfreeze.models.scorer import Scorer
from unfreeze.models.table import TABLE
from unfreeze.serving.classifier import Classifier

# One for each way of scaling pixels; EVERY_BACKBONE=1 tries the whole table, which takes minutes.
BACKBONES = TABLE if os.environ.get("EVERY_BACKBONE") else ("from_scratch", "mobilenetv2", "vgg16", "efficientnetb0")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_golden_images_get_the_probabilities_that_evaluate_computes(backbone: str, tmp_path: Path) -> None:
    size = max(TABLE[backbone].smallest_size, 32)
    classifier = Classifier(pack_small(tmp_path, backbone=backbone, size=size))
    files = write_golden(tmp_path / "golden")
    names = [path.name for path in files]
    labels = ["red", "blue"] + ["green"] * (len(names) - 2)
    store.write(
        tmp_path / "golden.h5",
        tmp_path / "golden",
        names,
        labels,
        size=size,
        max_pixels=MAX_PIXELS,
        manifest_sha256="0" * 64,
    )
    scorer = Scorer(tmp_path / f"{backbone}.keras", tmp_path / "golden.h5", EXTRACT)
    expected = scorer.predict(np.arange(len(names)), "golden images")
    pixels = [classifier.load(path)[None] for path in files]
    said = np.concatenate([answers.probabilities for answers in classifier.classify(pixels)])
    assert (said.argmax(axis=1) == expected.argmax(axis=1)).all()
    np.testing.assert_allclose(said, expected, atol=1e-5)
