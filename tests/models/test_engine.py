import sys

import keras
import numpy as np
import pytest

from unfreeze.models import backbones
from unfreeze.models.engine import Engine

PIXELS = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3)).astype("uint8")


@pytest.fixture(scope="module")
def prefix() -> keras.Model:
    network = backbones.Backbone(backbones.row_of("mobilenetv2"), 32)
    return network.part(0, network.cut("block_16_expand"))


@pytest.mark.parametrize("kind", ["openvino", "tensorflow"])
def test_engines_agree_with_keras(prefix: keras.Model, kind: str) -> None:
    engine = Engine(prefix, kind=kind, batch_size=4)  # type: ignore[arg-type]
    assert engine.name == kind
    np.testing.assert_allclose(engine.run_array(PIXELS), prefix.predict_on_batch(PIXELS), atol=1e-4)


def test_two_engines_give_the_same_bits(prefix: keras.Model) -> None:
    assert np.array_equal(Engine(prefix).run_array(PIXELS), Engine(prefix).run_array(PIXELS))


def test_batches_come_back_in_order_and_length(prefix: keras.Model) -> None:
    batches = [PIXELS[:3], PIXELS[3:4], PIXELS[4:11]]
    engine = Engine(prefix, batch_size=7)
    parts = list(engine.run(batches))
    assert [len(part) for part in parts] == [3, 1, 7]
    np.testing.assert_array_equal(np.concatenate(parts), engine.run_array(PIXELS))


def test_nothing_reports_home(prefix: keras.Model) -> None:
    Engine(prefix, kind="openvino")
    assert sys.modules.get("openvino_telemetry") is None
