"""ConvNeXt: a layer that keras.applications keeps to itself, operations in place of layers, and nested chains."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.models.test_own_backbones import describe, write_builder
from unfreeze.models import explanations, graph, keras_file, pixel_check
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import Engine
from unfreeze.models.table import find_row
from unfreeze.training.convolutions import replace_convolutions
from unfreeze.training.heads import build_head
from unfreeze.training.transfer import FineTuned

# The network of keras.applications with fewer and narrower blocks.
BUILDER = """
import keras
from keras.src.applications.convnext import ConvNeXt

def build(size):
    return ConvNeXt(depths=[1, 2, 1, 2], projection_dims=[8, 8, 8, 16], default_size=32, weights=None,
                    include_top=False, input_shape=(size, size, 3), name="small")
"""
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3)).astype("uint8")


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    monkeypatch.chdir(tmp_path)
    write_builder(tmp_path, "convnext", BUILDER)
    describe(tmp_path, "mine", builder="plugins.backbones.convnext:build", pixels="inside", smallest_size=32)
    keras.utils.set_random_seed(0)
    return Backbone(find_row("mine"), 64)


def test_its_blocks_are_those_of_the_paper(network: Backbone) -> None:
    first = [network.base.layers[start].name for start in network.find_block_starts()]
    assert first[1:] == [
        "small_downsampling_block_0",
        "small_stage_1_block_1_depthwise_conv",
        "small_downsampling_block_1",
        "small_downsampling_block_2",
        "small_stage_3_block_1_depthwise_conv",
    ], "the last normalization is part of the last block"


def test_a_builder_of_keras_applications_is_a_backbone_by_its_name() -> None:
    network = Backbone(find_row("convnexttiny"), 32)
    assert network.feature_shape == (1, 1, 768)
    assert len(network.find_block_starts()) == 3 + 3 + 9 + 3
    assert pixel_check.explain(network) == "convnexttiny is fed pixels scaled as 0..255, which is right"


def test_it_is_cut_trained_saved_and_loaded_by_plain_keras(network: Backbone, tmp_path: Path) -> None:
    cut = network.find_cut("auto")
    before, after = network.build_part(0, cut), network.build_part(cut, network.end)
    engine = Engine(before, kind="openvino", batch_size=4)
    (activations,) = engine.run([PIXELS])
    np.testing.assert_allclose(activations, before(PIXELS), atol=1e-4)
    np.testing.assert_array_equal(next(engine.run([PIXELS])), activations, err_msg="the same bits in each run")

    head = build_head(network.row.head, features=network.feature_shape, classes=2, output="softmax")
    graph.freeze_below(network.base, network.find_first_trainable("auto"))
    untrained = network.base.get_weights()
    for_training = replace_convolutions(after)
    np.testing.assert_allclose(for_training(activations), after(activations), atol=1e-5)
    names = {operation.name for operation in graph.iterate_operations(for_training)}
    assert "small_stage_3_block_1_depthwise_conv_for_training" in names
    model = FineTuned(for_training, head)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(activations, np.array([0, 1, 0, 1]), verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(untrained, network.base.get_weights(), strict=True)]
    frozen = [layer.path for layer in network.base.weights if not layer.trainable]
    trained = [weight.path for weight, is_changed in zip(network.base.weights, changed, strict=True) if is_changed]
    assert trained
    assert not set(trained) & set(frozen)

    whole = network.build_classifier(head)
    for name in ("one.keras", "two.keras"):
        keras_file.save(whole, tmp_path / name)
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    np.save(tmp_path / "pixels.npy", PIXELS)
    # LayerScale is a class of Keras, though not one of its layers' names.
    script = (
        "import keras, numpy; model = keras.models.load_model('one.keras', compile=False); "
        "numpy.save('given.npy', model.predict_on_batch(numpy.load('pixels.npy')))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env={"PATH": ""})
    np.testing.assert_allclose(np.load(tmp_path / "given.npy"), whole(PIXELS), atol=1e-6)
    heat = explanations.explain(keras.models.load_model(tmp_path / "one.keras"), PIXELS, np.zeros(4, int)).heat
    assert heat.shape == (4, 64, 64)
