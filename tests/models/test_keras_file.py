import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from unfreeze.models import keras_file
from unfreeze.models.backbone import build
from unfreeze.models.pixels import scale_pixels
from unfreeze.models.table import find_row
from unfreeze.settings.training import DenseSpec, DropoutSpec
from unfreeze.training import heads


def test_the_same_model_gives_the_same_bytes_and_still_loads(tmp_path: Path) -> None:
    model = build(find_row("from_scratch"), 32)
    keras_file.save(model, tmp_path / "a.keras")
    keras_file.save(model, tmp_path / "b.keras")
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    pixels = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    assert np.array_equal(loaded.predict_on_batch(pixels), model.predict_on_batch(pixels))


# Without what its versions since then write, which earlier ones refuse.
OLDEST = ("keras==3.10.0", "optree==0.20.0")
# Each way of scaling pixels, and the layers that set families apart.
KINDS = ("from_scratch", "mobilenetv2", "efficientnetv2b0", "vgg16")
LOAD = """
import sys, keras, numpy as np
assert keras.__version__ == "3.10.0"
for path in sys.argv[1:]:
    keras.models.load_model(path)
    print(path)
"""


@pytest.mark.slow
def test_the_oldest_version_of_keras_that_is_promised_loads_what_is_saved(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--target", str(installed)]
    subprocess.run([*uv, *OLDEST], check=True)
    paths = []
    for name in KINDS:
        row = find_row(name)
        base = build(row, 96)
        head = heads.build_head(
            ["global_average_pooling", "batch_normalization", DenseSpec(dense=4), DropoutSpec(dropout=0.5)],
            features=base.output_shape[1:],
            classes=2,
            output="sigmoid",
        )
        inputs = keras.Input((96, 96, 3), dtype="uint8")
        scaled = scale_pixels(row.pixels, inputs)
        path = tmp_path / f"{row.name}.keras"
        keras_file.save(keras.Model(inputs, head(base(scaled, training=False))), path)
        paths.append(str(path))
    answer = subprocess.run(
        [sys.executable, "-c", LOAD, *paths],
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert answer.stdout.split() == paths, answer.stderr[-2000:]
