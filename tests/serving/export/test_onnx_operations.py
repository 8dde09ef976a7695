"""Operations of newer networks that tf2onnx does not know: groups for each channel, and GELU."""

from pathlib import Path

import keras
import numpy as np
import onnxruntime
from keras import layers

from unfreeze.serving.export.formats import onnx
from unfreeze.serving.export.registry import Material


def test_groups_and_gelu_are_written_in_operations_that_onnx_has(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((8, 8, 3), dtype="uint8")
    inner_input = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1, name="first")(inner_input)
    x = layers.Conv2D(4, 3, padding="same", groups=4, name="grouped")(x)
    inner = keras.Model(inner_input, layers.Dense(4, activation="gelu")(x))
    features = layers.GlobalAveragePooling2D()(inner(layers.Rescaling(1 / 255)(pixels)))
    outputs = {"probabilities": layers.Dense(2, activation="softmax")(features), "features": features}
    network = keras.Model(pixels, outputs)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype("uint8")
    expected = network.predict_on_batch(images)
    onnx.write(Material(tmp_path, lambda: network, lambda: iter(())), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    given = session.run(list(expected), {session.get_inputs()[0].name: images})
    for name, values in zip(expected, given, strict=True):
        np.testing.assert_allclose(values, expected[name], atol=1e-5, err_msg=name)
