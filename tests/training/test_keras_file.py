from pathlib import Path

import keras
import numpy as np

from unfreeze.models.backbone import build
from unfreeze.models.table import find_row
from unfreeze.training import keras_file


def test_the_same_model_gives_the_same_bytes_and_still_loads(tmp_path: Path) -> None:
    model = build(find_row("from_scratch"), 32)
    keras_file.save(model, tmp_path / "a.keras")
    keras_file.save(model, tmp_path / "b.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    pixels = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    assert np.array_equal(loaded.predict_on_batch(pixels), model.predict_on_batch(pixels))
