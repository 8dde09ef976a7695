import json
import os
import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.conftest import PATIENCE, PROJECT
from tests.training.test_transfer import draw_pixels
from tests.warm import find_programs

# Two devices of one processor, as TensorFlow tests what it does on two GPUs. The last batch of an epoch has a single
# image.
TRAINED = """
import json, sys
from pathlib import Path
import keras
import numpy as np
import tensorflow as tf

processor, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)

from tests.training.test_transfer import PHASE, make_transfer
from unfreeze.models import keras_file
from unfreeze.training import devices

PHASE = PHASE.model_copy(update={
    "epochs": 2, "learning_rate": 1e-4, "batch_size": 31, "schedule": "cosine", "weight_decay": 0.01,
    "layer_decay": 0.9, "warmup": 0.25, "mixup": 0.4, "average": 0.5,
})

class Tight(keras.layers.Layer):
    "Has no memory for more than eight images, which the first device to ask is told."
    told = False

    def call(self, rows, training=False):
        def check(rows):
            if training and len(rows) > 8 and not Tight.told:
                Tight.told = True
                raise MemoryError(f"no room for {len(rows)} images")
            return rows

        checked = tf.ensure_shape(tf.numpy_function(check, [rows], tf.float32), rows.shape)
        return rows + tf.stop_gradient(checked - rows)

folder, said = Path(sys.argv[1]), {}
with devices.use_all():
    made = make_transfer(folder / "made", "block_16_expand")
    said["head"] = made.train_head(PHASE).history.to_dict("list")
    head = made.head
    if "tight" in sys.argv:
        made.head = keras.Sequential([keras.Input(head.input_shape[1:]), Tight(), head])
    said["tuned"] = made.fine_tune("block_16_expand", PHASE).history.to_dict("list")
    said["probabilities"] = made.predict_validation().tolist()
    if "tight" not in sys.argv:
        keras_file.save(made.backbone.build_classifier(made.head), folder / "model.keras")
        made.restore(head)
        made.fine_tune("block_16_expand", PHASE, until=1)
        begun = made.read_state()
        made.restore(head)
        made.fine_tune("block_16_expand", PHASE, state=begun)
        said["continued"] = made.predict_validation().tolist()
print(json.dumps(said))
"""


def train(folder: Path, devices: str, *how: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    return subprocess.run(
        [find_programs() / "python", "-c", TRAINED, str(folder), *how],
        cwd=PROJECT,
        env={**os.environ, "UNFREEZE_DEVICES": devices},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def read_results(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-4000:]
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def one(folder: Path) -> dict[str, Any]:
    return read_results(train(folder / "one", "CPU:0"))


@pytest.fixture(scope="module")
def two(folder: Path) -> dict[str, Any]:
    return read_results(train(folder / "two", "CPU:0,CPU:1"))


@pytest.mark.parametrize("phase", ["head", "tuned"])
def test_two_devices_train_as_one_does(one: dict[str, Any], two: dict[str, Any], phase: str) -> None:
    assert one[phase]["epoch"] == [0, 1]
    for curve in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(two[phase][curve], one[phase][curve], atol=1e-5)


@pytest.mark.parametrize("said", ["probabilities", "continued"])
def test_two_devices_say_what_one_says(one: dict[str, Any], two: dict[str, Any], said: str) -> None:
    assert np.shape(two[said]) == (16, 2)
    np.testing.assert_allclose(two[said], one[said], atol=1e-4)


def test_what_two_devices_trained_loads_as_any_other_model(folder: Path, one: Any, two: Any) -> None:
    models = [keras.models.load_model(folder / name / "model.keras") for name in ("one", "two")]
    assert models[0].get_config() == models[1].get_config()
    pixels = draw_pixels(np.arange(48) % 2)[32:]
    for model, trained in zip(models, (one, two), strict=True):
        # Training starts from activations that are stored in half precision.
        np.testing.assert_allclose(model.predict(pixels, verbose=0), trained["probabilities"], atol=1e-2)


def test_out_of_memory_on_one_device_all_go_on_with_half_the_batch(folder: Path, two: dict[str, Any]) -> None:
    done = train(folder / "tight", "CPU:0,CPU:1", "tight")
    results = read_results(done)
    assert "out of memory, on with 2 steps of 16 images for each of 31" in done.stderr
    np.testing.assert_allclose(results["tuned"]["loss"], two["tuned"]["loss"], atol=1e-4)


def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    done = train(folder / "none", "GPU:0,CPU:1")
    assert done.returncode != 0
    assert "UNFREEZE_DEVICES=GPU:0,CPU:1: TensorFlow sees CPU:0, CPU:1, not GPU:0" in done.stderr
