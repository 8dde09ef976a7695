"""Stored activations give the answers that the packed network gives from pixels, or are not used."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from tests.conftest import SETTINGS
from tests.models.calibrated import calibrate
from tests.serving.packed import EXTRACT, MAX_PIXELS, SERVE, write_images
from unfreeze import files
from unfreeze.features import cache
from unfreeze.features.plan import OF_FOLD, Fold, Plan
from unfreeze.images import store
from unfreeze.models import keras_file
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import make_engine
from unfreeze.models.table import find_row
from unfreeze.serving import package
from unfreeze.serving.cached_answers import ActivationSource, open_answers
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.package import Source
from unfreeze.training.heads import build_head

pytestmark = pytest.mark.slow

POINT = "block_16_expand"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Return a MobileNetV2 whose layers from a point on have changed since activations were stored."""
    folder = tmp_path_factory.mktemp("cached")
    names = write_images(folder / "raw", 12)
    labels = [name.partition("/")[0] for name in names]
    paths = {name: folder / name for name in ("images.h5", "split.csv", "features.h5", "b.weights.h5", "b.keras")}
    store.write(paths["images.h5"], folder / "raw", names, labels, size=32, max_pixels=MAX_PIXELS, manifest_sha256="")
    folds = pd.DataFrame({"id": names, "fold": ["train", "val", "train", "test"] * 9})
    files.write_csv(paths["split.csv"], folds)
    images = store.describe(paths["images.h5"])
    pixels = store.read_pixels(paths["images.h5"], range(len(names)))

    backbone = Backbone(find_row("mobilenetv2"), 32)
    calibrate(backbone.base, pixels)
    backbone.base.save_weights(paths["b.weights.h5"])
    cut = backbone.find_cut(POINT)
    engine = make_engine(backbone.build_part(0, cut), EXTRACT)
    train, val = (images.find_rows(folds, fold) for fold in cache.FOLDS)
    plan = Plan(
        position=cut,
        row_shape=engine.row_shape,
        dtype="float16",
        train=Fold(train, images.labels[train], np.ones(len(train))),
        val=Fold(val, images.labels[val], np.ones(len(val))),
        classes=3,
        determined_by={
            "images": images.digest,
            "pixels": "native",
            "weights": files.hash_file(paths["b.weights.h5"]),
            "split": files.hash_file(paths["split.csv"]),
        },
        settings=SETTINGS,
    )
    with cache.open_writer(paths["features.h5"], plan) as writer:
        for rows in (train, val):
            for some in engine.run(store.read_batches(paths["images.h5"], rows, engine.batch_size)):
                writer.append(some)
    random = np.random.default_rng(0)
    for layer in backbone.base.layers[backbone.find_first_trainable(POINT) :]:
        layer.set_weights([weight * random.uniform(0.9, 1.1, weight.shape) for weight in layer.get_weights()])
    head = build_head(("global_average_pooling",), features=backbone.feature_shape, classes=3, output="softmax")
    keras_file.save(backbone.build_classifier(head), paths["b.keras"])
    activations = ActivationSource(
        paths["features.h5"], paths["b.weights.h5"], paths["split.csv"], "mobilenetv2", "native"
    )
    return Source(
        paths["b.keras"], paths["images.h5"], folds, "mobilenetv2", 1.0, MAX_PIXELS, seed=0, activations=activations
    )  # fmt: skip


def change_cache(source: Source, target: Path, change: Callable[[Plan], Plan], *rows: np.ndarray) -> Source:
    """Return the source with other activations."""
    assert source.activations is not None
    plan = change(cache.read(source.activations.features, {}).plan)
    with cache.open_writer(target, plan) as writer:
        for some in rows:
            writer.append(some)
    return replace(source, activations=replace(source.activations, features=target))


def read_rows(source: Source) -> tuple[np.ndarray, np.ndarray]:
    assert source.activations is not None
    stored = cache.read(source.activations.features, {})
    assert stored.train is not None and stored.val is not None
    (train,), (val,) = stored.train.iterate_batches(100), stored.val.iterate_batches(100)
    return train, val


def pack(source: Source, folder: Path) -> Classifier:
    # Keras numbers what it builds from the beginning of the process on.
    keras.utils.clear_session()
    package.pack(source, folder, SERVE, EXTRACT)
    return Classifier(folder)


def is_used(source: Source) -> bool:
    assert source.activations is not None
    return open_answers(keras_file.load(source.model), source.activations, source.images, EXTRACT) is not None


def assert_alike(one: Classifier, other: Classifier) -> None:
    """Expect the same thresholds and images to compare with, but for the precision of stored activations."""
    assert one.model.unsure.lowest == pytest.approx(other.model.unsure.lowest, abs=2e-3)
    assert one.model.unlike.cosine == pytest.approx(other.model.unlike.cosine, rel=0.02)
    assert one.model.unlike.euclidean == pytest.approx(other.model.unlike.euclidean, rel=0.02)
    assert one.model.example == other.model.example
    assert one.reference.ids == other.reference.ids
    np.testing.assert_allclose(one.reference.vectors.directions, other.reference.vectors.directions, atol=2e-3)
    np.testing.assert_allclose(one.reference.vectors.lengths, other.reference.vectors.lengths, rtol=2e-3)


def test_a_package_is_the_one_that_pixels_give_and_its_features_are_not_computed_again(
    source: Source, tmp_path: Path
) -> None:
    assert is_used(source)
    exact = pack(replace(source, activations=None), tmp_path / "exact")
    assert_alike(pack(source, tmp_path / "packed"), exact)
    # Pictures are read from the store; features of its images are not computed again.
    train, val = read_rows(source)
    swapped = change_cache(source, tmp_path / "swapped.h5", lambda plan: plan, train[::-1], val)
    found = pack(swapped, tmp_path / "other").reference.vectors.directions
    np.testing.assert_allclose(found[::-1], exact.reference.vectors.directions, atol=2e-3)


def test_further_views_of_an_image_are_not_the_image(source: Source, tmp_path: Path) -> None:
    def view_twice(plan: Plan) -> Plan:
        twice = Fold(*(np.tile(getattr(plan.train, part), 2) for part in OF_FOLD))
        augment = plan.settings.augment.model_copy(update={"views": 2})
        return replace(plan, train=twice, settings=plan.settings.model_copy(update={"augment": augment}))

    train, val = read_rows(source)
    both = change_cache(source, tmp_path / "twice.h5", view_twice, train, 0 * train, val)
    assert is_used(both)
    assert_alike(pack(both, tmp_path / "packed"), pack(source, tmp_path / "exact"))


def test_pixels_are_run_where_frozen_layers_have_changed(source: Source, tmp_path: Path) -> None:
    model = keras.models.load_model(source.model, compile=False)
    (backbone,) = (layer for layer in model.layers if layer.name.startswith("mobilenetv2"))
    first = next(layer for layer in backbone.layers if layer.weights)
    first.set_weights([weight * 1.001 for weight in first.get_weights()])
    model.save(tmp_path / "model.keras")
    assert not is_used(replace(source, model=tmp_path / "model.keras"))


def round_to_8_bits(plan: Plan) -> Plan:
    extract = plan.settings.extract.model_copy(update={"precision": "int8"})
    return replace(plan, settings=plan.settings.model_copy(update={"extract": extract}))


def test_pixels_are_run_where_activations_are_rounded_more_than_the_model(source: Source, tmp_path: Path) -> None:
    assert not is_used(change_cache(source, tmp_path / "features.h5", round_to_8_bits, *read_rows(source)))


def test_a_package_does_not_depend_on_room_for_activations(source: Source, tmp_path: Path) -> None:
    unstored = change_cache(source, tmp_path / "features.h5", lambda plan: replace(plan, stored=False))
    stored, computed = pack(source, tmp_path / "stored"), pack(unstored, tmp_path / "computed")
    for path in stored.folder.iterdir():
        assert (computed.folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_pixels_are_run_where_half_precision_has_lost_the_activations(source: Source, tmp_path: Path) -> None:
    train, val = read_rows(source)
    lost = change_cache(source, tmp_path / "features.h5", lambda plan: plan, 0 * train, 0 * val)
    exact = pack(replace(source, activations=None), tmp_path / "exact")
    found = pack(lost, tmp_path / "packed")
    assert files.hash_file(found.folder / "reference.npz") == files.hash_file(exact.folder / "reference.npz")
