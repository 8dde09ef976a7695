import importlib.util
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import PROJECT
from unfreeze.errors import UnfreezeError
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import Engine, convert, use_precision
from unfreeze.models.table import find_row

PIXELS = np.random.default_rng(0).integers(0, 256, (11, 32, 32, 3)).astype("uint8")


@pytest.fixture(scope="module")
def prefix() -> keras.Model:
    network = Backbone(find_row("mobilenetv2"), 32)
    return network.build_part(0, network.find_cut("block_16_expand"))


def run(engine: Engine, pixels: np.ndarray = PIXELS) -> np.ndarray:
    size = engine.batch_size
    return np.concatenate(list(engine.run(pixels[start : start + size] for start in range(0, len(pixels), size))))


@pytest.mark.parametrize("kind", ["openvino", "tensorflow"])
def test_engines_agree_with_keras(prefix: keras.Model, kind: str) -> None:
    engine = Engine(prefix, kind=kind, batch_size=4)  # type: ignore[arg-type]
    assert engine.name == kind
    np.testing.assert_allclose(run(engine), prefix.predict_on_batch(PIXELS), atol=1e-4)


def test_two_engines_give_the_same_bits(prefix: keras.Model) -> None:
    assert np.array_equal(run(Engine(prefix)), run(Engine(prefix)))


def test_batches_come_back_in_order_and_length(prefix: keras.Model) -> None:
    batches = [PIXELS[:3], PIXELS[3:4], PIXELS[4:11]]
    engine = Engine(prefix, batch_size=7)
    parts = list(engine.run(batches))
    assert [len(part) for part in parts] == [3, 1, 7]
    np.testing.assert_array_equal(np.concatenate(parts), run(engine))


@pytest.mark.parametrize("kind", ["openvino", "tensorflow"])
def test_bfloat16_is_near_float32(prefix: keras.Model, kind: str) -> None:
    exact = prefix.predict_on_batch(PIXELS)
    rough = run(Engine(prefix, kind=kind, precision="bfloat16", batch_size=4))  # type: ignore[arg-type]
    use_precision("float32")
    assert rough.dtype == np.float32
    assert np.abs(rough - exact).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("kind", ["openvino", "tensorflow"])
@pytest.mark.parametrize("hint", ["throughput", "latency"])
def test_another_batch_size_gives_the_same_answers(prefix: keras.Model, kind: str, hint: str) -> None:
    engine = Engine(prefix, kind=kind, batch_size=4)  # type: ignore[arg-type]
    before = run(engine)
    other = engine.resized(3, hint=hint)  # type: ignore[arg-type]
    np.testing.assert_allclose(run(other), before, atol=1e-5)
    # The first one goes on as it was.
    assert engine.batch_size == 4
    assert np.array_equal(run(engine), before)


def test_what_openvino_cannot_convert_runs_on_tensorflow(caplog: pytest.LogCaptureFixture) -> None:
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, Unconvertible()(inputs))
    pixels = np.ones((3, 4, 4, 3), "float32")
    with caplog.at_level("WARNING", "unfreeze"):
        engine = Engine(model, batch_size=2)
    assert engine.name == "tensorflow"
    assert "TensorFlow runs it instead" in caplog.text
    assert (run(engine, pixels) == 2).all()
    with pytest.raises(Exception, match="."):
        Engine(model, kind="openvino", batch_size=2)


class Unconvertible(keras.layers.Layer):
    """Adds 1 in a way that no converter follows."""

    def call(self, x: tf.Tensor) -> tf.Tensor:
        doubled = tf.numpy_function(lambda rows: rows + 1, [x], tf.float32)
        return tf.ensure_shape(doubled, x.shape)


class Bounded(keras.layers.Layer):
    """Adds 1, and finds no memory for more rows than it holds."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def call(self, x: tf.Tensor) -> tf.Tensor:
        def add(rows: np.ndarray) -> np.ndarray:
            if len(rows) > self.rows:
                raise MemoryError(f"no room for {len(rows)} rows")
            return rows + 1

        return tf.ensure_shape(tf.numpy_function(add, [x], tf.float32), x.shape)


def bounded(rows: int) -> Engine:
    inputs = keras.Input((4,))
    return Engine(keras.Model(inputs, Bounded(rows)(inputs)), kind="tensorflow", batch_size=8)


def test_out_of_memory_it_goes_on_with_fewer_images_at_once(caplog: pytest.LogCaptureFixture) -> None:
    numbers = np.arange(76, dtype="float32").reshape(19, 4)
    with caplog.at_level("WARNING", "unfreeze"):
        found = run(bounded(3), numbers)
    assert np.array_equal(found, numbers + 1)
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 8 images at once, on with 4",
        "out of memory with 4 images at once, on with 2",
    ]


def test_no_memory_for_one_image_is_an_error() -> None:
    with pytest.raises(UnfreezeError, match=r"single image: set preprocess\.image_size lower"):
        run(bounded(0), np.zeros((8, 4), "float32"))


def test_openvino_reads_each_variable_once(prefix: keras.Model) -> None:
    read: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == "read_value_no_copy":
            read.append(frame.f_locals["self"].name)

    sys.setprofile(note)
    try:
        convert(prefix)
    finally:
        sys.setprofile(None)
    assert len(read) == len(prefix.weights)


def test_openvino_runs_without_the_package_that_reports_home(prefix: keras.Model) -> None:
    assert importlib.util.find_spec("openvino_telemetry") is None
    assert Engine(prefix, kind="openvino").name == "openvino"
    assert "openvino_telemetry" not in sys.modules
    # The lock is what environments are made from.
    assert not re.search(r"^openvino.telemetry", (PROJECT / "requirements.lock").read_text(), re.MULTILINE)


@pytest.mark.parametrize("kind", ["auto", "openvino"])
def test_a_package_that_reports_home_is_refused(
    prefix: keras.Model, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("raise SystemExit('it was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnfreezeError, match="pip uninstall --yes openvino-telemetry"):
        Engine(prefix, kind=kind)  # type: ignore[arg-type]
