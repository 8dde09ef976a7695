"""Presets of KerasHub, as folders that KerasHub itself has saved."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from tests.models.test_own_backbones import describe
from unfreeze import files
from unfreeze.cli import backbones
from unfreeze.errors import UnfreezeError
from unfreeze.models import hub, weights
from unfreeze.models.backbone import Backbone
from unfreeze.models.table import find_row
from unfreeze.models.transformer import build_transformer, copy_resized
from unfreeze.settings.sources import WeightsFile

IS_INSTALLED = importlib.util.find_spec("keras_hub") is not None
needs_hub = pytest.mark.skipif(not IS_INSTALLED, reason="the extra `hub` is not installed")
SMALL = {"patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}


def make_vit(**settings: Any) -> keras.Model:
    """Return KerasHub's ViT."""
    return hub.import_hub().models.ViTBackbone(**SMALL, mlp_dim=24, **{"image_shape": (32, 32, 3), **settings})


def make_dinov2(side: int = 32, **settings: Any) -> keras.Model:
    """Return KerasHub's DINOv2, whose embeddings of positions are those of 32 pixels."""
    return hub.import_hub().models.DINOV2Backbone(
        **SMALL, intermediate_dim=24, image_shape=(side, side, 3), position_embedding_shape=(32, 32, 3), **settings
    )


def make_siglip(**settings: Any) -> keras.Model:
    """Return the network of images of KerasHub's SigLIP."""
    return hub.import_hub().models.SigLIPVisionEncoder(
        **SMALL, intermediate_dim=24, image_shape=(32, 32, 3), **settings
    )


def randomize(network: keras.Model) -> keras.Model:
    """Give a network weights of which none is 0 or 1, as trained ones are."""
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if weight.dtype == "float32":
            weight.assign(rng.normal(scale=0.3, size=weight.shape))
    embedding = getattr(network, "embeddings", None)
    if embedding is not None:
        # As it does on loading.
        embedding.interpolated_position_embeddings.assign(
            embedding._interpolate_position_embeddings(
                embedding.position_embeddings,
                patch_size=8,
                source_shape=embedding.position_embedding_shape,
                target_shape=embedding.image_shape,
                antialias=embedding.antialias_in_interpolation,
            )
        )
    return network


@needs_hub
@pytest.mark.parametrize(
    "make",
    [
        make_vit,
        lambda: make_vit(use_class_token=False, use_patch_bias=False, use_mha_bias=False, use_mlp_bias=False),
        lambda: make_dinov2(num_register_tokens=2),
        lambda: make_dinov2(48, num_register_tokens=2),
        lambda: make_dinov2(24, antialias_in_interpolation=True, use_swiglu_ffn=True),
        make_siglip,
    ],
    ids=["vit", "vit without", "dinov2", "dinov2 larger", "dinov2 smaller", "siglip"],
)
def test_standard_layers_compute_what_kerashub_computes(make: Callable[[], keras.Model]) -> None:
    source = randomize(make())
    spec, side = hub.describe_network(source, "hub:small")
    assert spec is not None
    assert side == 32
    network = build_transformer(spec, side, name="standard")
    hub.copy_weights(spec, source, network)
    size = source.image_shape[0]
    if size != side:
        resized = build_transformer(spec, size, name="resized")
        copy_resized(spec, network, resized)
        network = resized
    images = np.random.default_rng(1).normal(size=(2, size, size, 3)).astype("float32")
    # SigLIP goes on to one vector, with a pooling of its own.
    last = source.post_layer_norm.output if spec.family == "siglip" else source.output
    expected = keras.Model(source.inputs, last)([images])
    np.testing.assert_allclose(network(images), expected, atol=1e-6)
    assert np.abs(expected).max() > 1
    made = hub.make_network(spec, side)
    if size == side:
        assert [weight.shape for weight in made.weights] == [weight.shape for weight in source.weights]


@needs_hub
@pytest.mark.parametrize("make", [make_vit, make_dinov2], ids=["vit", "dinov2"])
def test_a_preset_becomes_a_backbone_with_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[], keras.Model]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = randomize(make())
    source.save_to_preset("small-preset")
    assert backbones.add_preset("hub:small-preset", "tf") == "small_preset"
    with pytest.raises(UnfreezeError, match="small_preset.yaml exists already"):
        backbones.add_preset("hub:small-preset", "tf")
    row = find_row("small_preset")
    assert (row.patch, row.native_size, row.pixels) == (8, 32, "tf")
    images = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype("float32")
    expected = keras.Model(source.inputs, source.output)([images])
    path = Path("small-preset/model.weights.h5")
    file = WeightsFile(file=str(path), sha256=files.hash_file(path))
    for given in ("imagenet", file):
        network = weights.load_pretrained(row, given, seed=0)
        np.testing.assert_allclose(network(images), expected, atol=1e-6)
    assert weights.describe(row, "imagenet") == "preset small-preset"
    # What the stages hand on is read again without KerasHub's names.
    network.save_weights("stored.weights.h5")
    other = Backbone(row, 48)
    other.load_weights(tmp_path / "stored.weights.h5")
    assert other.feature_shape == (37, 16)
    (shown,) = backbones.describe(["small_preset"])
    assert [point["layer"] for point in shown["unfreeze_points"]] == ["patches", "block1_norm1", "block2_norm1"]


@needs_hub
def test_a_preset_of_convolutions_becomes_a_backbone_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = hub.import_hub().models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 8], block_type="basic_block",
        stackwise_num_blocks=[1, 1], stackwise_num_strides=[1, 2],
    )  # fmt: skip
    randomize(source).save_to_preset("resnet")
    row = find_row(backbones.add_preset("hub:resnet", "inside"))
    network = Backbone(row, 64)
    network.base.set_weights(weights.load_pretrained(row, "imagenet", seed=0).get_weights())
    images = np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(network.base(images), source(images), rtol=1e-5, atol=1e-5)
    assert {type(layer).__module__.split(".")[0] for layer in network.base.layers} == {"keras"}


@needs_hub
def test_a_preset_that_is_no_network_of_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = hub.import_hub().models.BertBackbone(
        vocabulary_size=10, num_layers=1, num_heads=2, hidden_dim=4, intermediate_dim=4
    )
    words.save_to_preset("words")
    with pytest.raises(UnfreezeError, match="hub:words is a BertBackbone of KerasHub, which cannot be a backbone"):
        backbones.add_preset("hub:words", "tf")


@needs_hub
def test_settings_of_another_preset_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_vit().save_to_preset("small")
    row = find_row(backbones.add_preset("hub:small", "tf"))
    make_vit(use_class_token=False).save_to_preset("small")
    with pytest.raises(UnfreezeError, match="hub:small is another network than conf/backbones/small.yaml says"):
        weights.load_pretrained(row, "imagenet", seed=0)
    file = Path("small/model.weights.h5")
    given = WeightsFile(file=str(file), sha256=files.hash_file(file))
    with pytest.raises(UnfreezeError, match=r"weights file small/model.weights.h5 does not fit small"):
        weights.load_pretrained(row, given, seed=0)


@needs_hub
def test_a_preset_that_lacks_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_vit().save_to_preset("partial")
    row = find_row(backbones.add_preset("hub:partial", "tf"))
    with h5py.File("partial/model.weights.h5", "r+") as stored:
        del stored["layers/vi_t_encoder/encoder_layers"]
    with pytest.raises(UnfreezeError, match=r"preset partial of KerasHub cannot be read .*the whole folder"):
        weights.load_pretrained(row, "imagenet", seed=0)


def test_a_preset_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = "preset nowhere of KerasHub cannot be read .*correct its name" if IS_INSTALLED else "run `make hub`"
    with pytest.raises(UnfreezeError, match=told) as caught:
        backbones.add_preset("hub:nowhere")
    assert "\n" not in str(caught.value)
    assert not Path("conf").exists()
    describe(tmp_path, "mine", builder="hub:nowhere")
    with pytest.raises(UnfreezeError, match=told):
        weights.load_pretrained(find_row("mine"), "imagenet", seed=0)
    with pytest.raises(UnfreezeError, match="expected hub:PRESET"):
        backbones.add_preset("vit")
