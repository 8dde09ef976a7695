import itertools
from collections.abc import Sequence
from pathlib import Path

import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from hypothesis import given
from keras import layers

from unfreeze.models import explanations, keras_file
from unfreeze.models.backbone import Backbone
from unfreeze.models.table import find_row
from unfreeze.settings.training import DenseSpec, DropoutSpec, HeadLayer
from unfreeze.training.heads import build_head

HEADS: dict[str, Sequence[HeadLayer]] = {
    "pooled": ("global_average_pooling", DropoutSpec(dropout=0.2)),
    "flat": ("flatten", DenseSpec(dense=8)),
    "deep": ("global_average_pooling", "batch_normalization", DenseSpec(dense=8), DropoutSpec(dropout=0.5)),
}
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype("uint8")


def saved(model: keras.Model, folder: Path) -> keras.Model:
    """Return a model as the stages get it: from its file."""
    keras_file.save(model, folder / "x.keras")
    return keras.models.load_model(folder / "x.keras", compile=False)


def of_brightness(*, weight: float, output: str = "softmax") -> keras.Model:
    """Return a model in which bright places speak for class 1 and against class 0."""
    inputs = keras.Input((32, 32, 3))
    x = layers.AveragePooling2D(4)(layers.Conv2D(1, 1, use_bias=False)(inputs))
    base = keras.Model(inputs, x)
    base.layers[1].set_weights([np.full((1, 1, 3, 1), 1 / 765, "float32")])
    head = build_head(["global_average_pooling"], features=(8, 8, 1), classes=2, output=output)
    last = [layer for layer in head.layers if isinstance(layer, layers.Dense)][0]
    kernel = [[-weight, weight]] if output == "softmax" else [[weight]]
    last.set_weights([np.array(kernel, "float32"), np.zeros(len(kernel[0]), "float32")])
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    return keras.Model(pixels, head(base(layers.Rescaling(1.0)(pixels), training=False)))


@pytest.fixture
def patch() -> np.ndarray:
    """Return two pictures with a bright patch, at rows 8 to 15 and columns 20 to 27 and elsewhere."""
    pixels = np.full((2, 32, 32, 3), 20, "uint8")
    pixels[0, 8:16, 20:28] = 250
    pixels[1, 24:32, 0:8] = 250
    return pixels


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_heat_is_where_the_class_is_seen(tmp_path: Path, patch: np.ndarray, output: str) -> None:
    model = saved(of_brightness(weight=3, output=output), tmp_path)
    heat = explanations.explain(model, patch, np.array([1, 1])).heat
    assert heat[0].max() == heat[1].max() == 1
    assert heat[0, 10:14, 22:26].min() > 0.95
    assert heat[1, 26:, :6].min() > 0.95
    assert heat[0, 20:, :12].max() < 0.2
    # Nothing speaks for the other class.
    assert (explanations.explain(model, patch, np.array([0, 0])).heat == 0).all()


def test_a_sure_model_is_explained_too(patch: np.ndarray) -> None:
    model = of_brightness(weight=1e5)
    assert (model.predict_on_batch(patch)[:, 1] == 1).all()
    assert explanations.explain(model, patch, np.array([1, 1])).heat.max() == 1


def test_without_a_gradient_there_is_no_heat(patch: np.ndarray) -> None:
    heat = explanations.explain(of_brightness(weight=0), patch, np.array([0, 1])).heat
    assert heat.dtype == np.float32
    assert (heat == 0).all()


@pytest.mark.parametrize(
    ("name", "head", "output"),
    [
        *itertools.product(["from_scratch"], HEADS, ["softmax", "sigmoid"]),
        ("mobilenetv2", "deep", "sigmoid"),
        ("vgg16", "flat", "softmax"),
    ],
)
def test_every_head_is_explained(tmp_path: Path, name: str, head: str, output: str) -> None:
    keras.utils.set_random_seed(0)
    network = Backbone(find_row(name), 64)
    layers_of_head = build_head(HEADS[head], features=network.feature_shape, classes=2, output=output)
    model = saved(network.build_classifier(layers_of_head), tmp_path)
    heat = explanations.explain(model, PIXELS, np.array([0, 1, 0])).heat
    assert heat.shape == (3, 64, 64)
    assert heat.dtype == np.float32
    assert 0 <= heat.min() <= heat.max() <= 1
    assert set(heat.max(axis=(1, 2))) <= {0, 1}


def test_where_the_backbone_ends_in_one_place_earlier_activations_are_taken(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    network = Backbone(find_row("vgg16"), 32)
    assert network.feature_shape == (1, 1, 512)
    head = build_head(["flatten"], features=network.feature_shape, classes=3, output="softmax")
    heat = explanations.explain(
        saved(network.build_classifier(head), tmp_path), PIXELS[:, :32, :32], np.arange(3)
    ).heat
    # Somewhere, and not everywhere alike.
    assert heat.max() == 1
    assert heat.std() > 0.05


def test_a_picture_does_not_depend_on_its_batch() -> None:
    model = of_brightness(weight=3)
    pixels = np.random.default_rng(0).integers(0, 256, (explanations.BATCH + 3, 32, 32, 3)).astype("uint8")
    classes = np.ones(len(pixels), int)
    whole = explanations.explain(model, pixels, classes).heat
    np.testing.assert_allclose(whole[-1:], explanations.explain(model, pixels[-1:], classes[-1:]).heat, atol=1e-6)
    assert explanations.explain(model, pixels[:0], classes[:0]).heat.shape == (0, 32, 32)


@pytest.mark.parametrize(
    ("name", "point"), [("mobilenetv2", "deepest"), ("mobilenetv2", "none"), ("inceptionv3", "deepest")]
)
def test_a_saved_model_gives_what_its_backbone_gives_at_a_cut(tmp_path: Path, name: str, point: str) -> None:
    keras.utils.set_random_seed(0)
    network = Backbone(find_row(name), 96)
    head = build_head(HEADS["pooled"], features=network.feature_shape, classes=2, output="softmax")
    pixels = np.random.default_rng(0).integers(0, 256, (explanations.BATCH + 1, 96, 96, 3)).astype("uint8")
    position = network.find_cut(network.row.unfreeze if point == "deepest" else point)
    model, classes = saved(network.build_classifier(head), tmp_path), np.zeros(len(pixels), int)
    found = explanations.explain(model, pixels, classes, position=position)
    np.testing.assert_allclose(found.activations, network.build_part(0, position).predict_on_batch(pixels), atol=1e-5)
    # What is asked for beside it does not change the heat.
    np.testing.assert_allclose(found.heat, explanations.explain(model, pixels, classes).heat, atol=1e-5)


def test_cold_places_stay_as_they_are_and_hot_ones_change() -> None:
    heat = np.zeros((3, 64, 64), "float32")
    assert np.array_equal(explanations.overlay(PIXELS, heat), PIXELS)
    heat[:, :8] = 1
    shown = explanations.overlay(PIXELS, heat)
    assert shown.dtype == np.uint8
    assert np.array_equal(shown[:, 8:], PIXELS[:, 8:])
    # Red covers more than half of the hottest places.
    assert (shown[:, :8, :, 0] > shown[:, :8, :, 2]).mean() > 0.7
    assert np.array_equal(explanations.overlay(PIXELS[0], heat[0]), shown[0])


def test_the_nearest_are_found() -> None:
    features = np.array([[1, 0], [0, 1], [1, 1], [-1, 0]], "float32")
    indices, distances = explanations.find_nearest(features, np.array([[2, 0.1], [0, -3]], "float32"), count=2)
    assert indices[0].tolist() == [0, 2]
    assert indices[1, 0] in (0, 3)
    assert distances[0] == pytest.approx([1 - 2 / 4.01**0.5, 1 - 2.1 / 8.02**0.5], abs=1e-6)


@given(seed=st.integers(0, 2**32 - 1), images=st.integers(1, 9), count=st.integers(1, 12))
def test_each_image_is_nearest_to_itself(seed: int, images: int, count: int) -> None:
    features = np.random.default_rng(seed).normal(size=(images, 5))
    indices, distances = explanations.find_nearest(features, features, count=count)
    assert indices.shape == distances.shape == (images, min(count, images))
    assert indices[:, 0].tolist() == list(range(images))
    assert (np.diff(distances, axis=1) >= 0).all()
