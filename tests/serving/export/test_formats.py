"""Formats are found by name, and refuse what their runtimes would not run."""

from pathlib import Path

import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.serving.export import registry
from unfreeze.serving.export.registry import Format, Material, find_formats


def test_an_unknown_format_is_named_with_those_there_are() -> None:
    with pytest.raises(
        UnfreezeError, match=r"--format onnx,onxx: expected one or more of .*openvino-int8.*"
    ) as caught:
        find_formats("onnx,onxx")
    assert "\n" not in str(caught.value)
    with pytest.raises(UnfreezeError, match="expected one or more of"):
        find_formats(" ,")


def test_a_format_is_taken_once_in_the_order_given() -> None:
    assert [entry.name for entry in find_formats("openvino, saved_model,openvino")] == ["openvino", "saved_model"]


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch) -> None:
    find_formats("openvino")
    entry = Format("needy", ("x",), print, "", "", "", "openvino", modules=("no_such_package",))
    monkeypatch.setitem(registry._formats, "needy", entry)
    with pytest.raises(UnfreezeError, match=r"needs no_such_package, which is not installed: .*\[export\]"):
        find_formats("needy")


@pytest.mark.slow
def test_operations_that_litert_lacks_are_refused(tmp_path: Path) -> None:
    import keras

    (entry,) = find_formats("litert")
    pixels = keras.Input((8, 8, 3), dtype="uint8", name="pixels")
    features = keras.ops.mean(keras.ops.sinh(keras.ops.cast(pixels, "float32") / 256), axis=(1, 2))
    network = keras.Model(pixels, {"probabilities": keras.ops.softmax(features), "features": features})
    with pytest.raises(UnfreezeError, match=r"LiteRT lacks operations of this network \(FlexSinh\)"):
        entry.write(Material(tmp_path, lambda: network, lambda: iter(())), tmp_path)


@pytest.mark.slow
def test_nothing_is_quantized_where_it_would_be_reported(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "openvino_telemetry.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (entry,) = find_formats("openvino-int8")
    with pytest.raises(UnfreezeError, match="openvino-telemetry is installed"):
        entry.write(Material(tmp_path, lambda: None, lambda: iter(())), tmp_path)
