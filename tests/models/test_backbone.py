import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.conftest import compose
from unfreeze.cli import backbones
from unfreeze.errors import UnfreezeError
from unfreeze.models import graph
from unfreeze.models.backbone import Backbone, build, find_input
from unfreeze.models.pixels import scale_pixels
from unfreeze.models.table import TABLE, Row, find_row
from unfreeze.settings.base import Pixels
from unfreeze.settings.training import DenseSpec
from unfreeze.training.heads import build_head

LISTED = [row for row in TABLE.values() if row.builder]


@pytest.mark.parametrize(
    ("name", "layers", "millions"),
    [
        ("efficientnetb0", 237, 5.3),
        ("inceptionv3", 311, 23.9),
        ("inceptionresnetv2", 780, 55.9),
        ("resnet50", 175, 25.6),
        ("vgg16", 19, 138.4),
        ("xception", 132, 22.9),
    ],
)
def test_layers_and_parameters_are_the_reports(name: str, layers: int, millions: float) -> None:
    (row,) = backbones.describe([name])
    assert row["layers"] == layers
    assert round(row["parameters_with_top"] / 1e6, 1) == millions


def test_the_sheets_network_has_its_exact_parameters() -> None:
    network = Backbone(find_row("vgg16"), 32)
    layers = ("flatten", DenseSpec(dense=256))
    head = build_head(layers, features=network.feature_shape, classes=2, output="sigmoid")
    model = network.build_classifier(head)
    assert model.count_params() == 14_846_273
    graph.freeze_below(network.base, network.find_first_trainable("none"))
    assert graph.count_trainable_parameters(model) == 131_585
    graph.freeze_below(network.base, network.find_first_trainable("block5_conv1"))
    assert graph.count_trainable_parameters(model) == 7_211_009


@pytest.mark.parametrize("row", LISTED, ids=lambda row: row.name)
def test_pixels_are_scaled_as_keras_scales_them(row: Row) -> None:
    own = sys.modules[getattr(keras.applications, row.builder).__module__].preprocess_input
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    scaled = keras.Model(inputs, scale_pixels(row.pixels, inputs)).predict_on_batch(pixels)
    np.testing.assert_allclose(scaled, own(pixels.astype("float32")), atol=1e-5)


@pytest.mark.parametrize(("name", "fed"), [("mobilenetv2", "unit"), ("vgg16", "unit"), ("from_scratch", "inside")])
def test_a_study_may_feed_every_pretrained_network_0_to_1(name: str, fed: Pixels) -> None:
    network = Backbone(find_row(name), 32, "unit")
    head = build_head(network.row.head, features=network.feature_shape, classes=2, output="softmax")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    inputs = keras.Input((32, 32, 3), dtype="uint8")
    scaled = keras.Model(inputs, scale_pixels(fed, inputs)).predict_on_batch(pixels)
    features = network.base(scaled, training=False)
    np.testing.assert_allclose(network.build_part(0, network.end).predict_on_batch(pixels), features, atol=1e-5)
    np.testing.assert_allclose(network.build_classifier(head).predict_on_batch(pixels), head(features), atol=1e-5)


def test_a_whole_model_is_taken_apart_from_its_end() -> None:
    network = Backbone(find_row("vgg16"), 32)
    head = build_head(network.row.head, features=network.feature_shape, classes=2, output="softmax")
    model = network.build_classifier(head)
    features = find_input(model.output)
    assert features.shape[1:] == network.feature_shape
    assert find_input(features).shape[1:] == (32, 32, 3)


@pytest.mark.parametrize(
    ("name", "pixels"), [("DenseNet121", "torch"), ("resnet50v2", "tf"), ("ConvNeXtTiny", "inside")]
)
def test_any_other_builder_is_found_with_its_own_scaling(name: str, pixels: str) -> None:
    assert find_row(name).pixels == pixels


@pytest.mark.parametrize(("name", "hint"), [("xceptoin", "unfreeze backbones"), ("Xception", "'xception'")])
def test_an_unknown_backbone_is_named(name: str, hint: str) -> None:
    with pytest.raises(UnfreezeError, match=hint):
        find_row(name)


def test_too_small_images_are_refused() -> None:
    with pytest.raises(UnfreezeError, match=r"image_size 64 is under xception's smallest, 71"):
        build(find_row("xception"), 64)


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_the_smallest_size_works(row: Row) -> None:
    assert build(row, row.smallest_size).output.shape[1] >= 1


def test_the_saved_model_is_made_of_standard_layers_and_loads_in_safe_mode(tmp_path: Path) -> None:
    network = Backbone(find_row("vgg16"), 32)
    head = build_head(network.row.head, features=network.feature_shape, classes=3, output="softmax")
    model = network.build_classifier(head)
    model.save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras", safe_mode=True)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    assert loaded.inputs[0].dtype == "uint8"
    np.testing.assert_allclose(loaded.predict_on_batch(pixels), model.predict_on_batch(pixels), atol=1e-6)
    assert not [layer for layer in loaded.layers if isinstance(layer, keras.layers.Lambda)]


def test_candidates_are_named_by_their_first_layer(tmp_path: Path) -> None:
    params = compose(tmp_path / "params.yaml")
    network = Backbone(find_row("vgg16"), 32)
    assert list(network.list_candidates(params.unfreeze.candidates.get("vgg16"))) == ["block5_conv1", "block4_conv1"]
    found = network.list_candidates(("none", "all", "block5_conv1"))
    assert found == {"none": "none", "all": "all", "block5_conv1": 15}


def test_the_table_is_described() -> None:
    (row,) = backbones.describe(["vgg16"])
    assert row["unfreeze"] == "block5_conv1"
    assert row["unfreeze_points"][-1] == {
        "layer": "block5_conv1", "index": 15, "trainable_parameters": 7_079_424,
    }  # fmt: skip
