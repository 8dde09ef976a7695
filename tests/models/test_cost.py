from pathlib import Path
from typing import Literal

import keras
import pytest
from keras import layers

from unfreeze.models import cost
from unfreeze.models.engine import Engine

# Bias and activation are left out of the layers, so that nothing but products is counted.
KNOWN = {
    "Conv2D": (layers.Conv2D(8, 3, padding="same", use_bias=False), 10 * 10 * 8 * 3 * 3 * 3),
    "strided Conv2D": (layers.Conv2D(8, 1, strides=2, use_bias=False), 5 * 5 * 8 * 3),
    "DepthwiseConv2D": (layers.DepthwiseConv2D(3, padding="same", use_bias=False), 10 * 10 * 3 * 3 * 3),
    "Dense": (layers.Dense(7, use_bias=False), 10 * 10 * 3 * 7),
}


@pytest.mark.parametrize("name", KNOWN)
def test_multiply_accumulates_of_a_known_layer(name: str) -> None:
    layer, expected = KNOWN[name]
    inputs = keras.Input((10, 10, 3))
    assert cost.count_multiply_accumulates(keras.Model(inputs, layer(inputs))) == expected


def nested(inner: keras.Model) -> keras.Model:
    inputs = keras.Input(inner.input.shape[1:], dtype="uint8")
    return keras.Model(inputs, inner(layers.Rescaling(1.0)(inputs)))


def test_a_nested_model_counts_as_its_layers_do() -> None:
    inputs = keras.Input((10, 10, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, use_bias=False)(inputs))
    model = keras.Model(inputs, layers.Dense(2, use_bias=False)(pooled))
    products = 8 * 8 * 8 * 3 * 3 * 3 + 8 * 2
    # Scaling, pooling and whatever else is no product is counted too, and is little.
    assert products <= cost.count_multiply_accumulates(nested(model)) < 1.05 * products


@pytest.mark.parametrize("kind", ["openvino", "tensorflow"])
def test_latency_is_told_of_each_batch_size(kind: Literal["openvino", "tensorflow"]) -> None:
    # Many take at least eighty times as long as one: whatever else the machine does, the order stays.
    inputs = keras.Input((64, 64, 3))
    model = nested(keras.Model(inputs, layers.Conv2D(64, 3)(inputs)))
    found = cost.measure_latency(Engine(model, kind=kind), batch_sizes=(1, 256), repeats=5)
    assert list(found) == ["1", "256"]
    assert 0 < found["1"] < found["256"] < 5000


def test_a_size_is_in_millions_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(2_500_000))
    assert cost.measure_size_mb(tmp_path / "x") == 2.5
