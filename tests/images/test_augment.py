from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unfreeze.images import augment, store
from unfreeze.settings.images import Augment

OFF = Augment(views=1, horizontal_flip=False, vertical_flip=False, rotation=0, shear=0, scale=0, brightness=0)
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3)).astype("uint8")


@pytest.mark.parametrize(
    "change",
    [
        {"horizontal_flip": True},
        {"vertical_flip": True},
        {"rotation": 30},
        {"shear": 0.3},
        {"scale": 0.3},
        {"brightness": 0.4},
    ],
)
def test_each_change_changes_images_the_same_way_for_a_seed(change: dict[str, float]) -> None:
    settings = OFF.model_copy(update=change)
    first, again = (augment.apply_changes(augment.build_changes(settings, 0), PIXELS) for _ in range(2))
    other = augment.apply_changes(augment.build_changes(settings, 1), PIXELS)
    assert first.shape == PIXELS.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, PIXELS)
    assert not np.array_equal(first, other)


def test_a_flip_mirrors_some_images_and_leaves_the_others() -> None:
    flipped = augment.apply_changes(
        augment.build_changes(OFF.model_copy(update={"horizontal_flip": True}), 0), PIXELS
    )
    mirrored = [np.array_equal(one, two[:, ::-1]) for one, two in zip(flipped, PIXELS, strict=True)]
    kept = [np.array_equal(one, two) for one, two in zip(flipped, PIXELS, strict=True)]
    assert any(mirrored)
    assert any(kept)
    assert all(one or two for one, two in zip(mirrored, kept, strict=True))


def test_views_differ_from_each_other() -> None:
    maker = augment.build_changes(OFF.model_copy(update={"rotation": 30}), 0)
    assert not np.array_equal(augment.apply_changes(maker, PIXELS), augment.apply_changes(maker, PIXELS))


@pytest.fixture
def images(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    """Return a store of ten images of 16 pixels."""
    root = make_images(tmp_path / "images", images=5)
    ids = [f"{label}/{number:03}.png" for label in ("blue", "red") for number in range(5)]
    labels = [name.split("/")[0] for name in ids]
    store.write(tmp_path / "images.h5", root, ids, labels, size=16, max_pixels=10**6, manifest_sha256="")
    return tmp_path / "images.h5"


ROTATED = OFF.model_copy(update={"views": 2, "rotation": 20})
ROWS = np.array([0, 1, 2, 3, 5, 6, 7])


@pytest.mark.parametrize("done", [0, 4, 7, 11, 14])
def test_going_on_gives_the_batches_that_were_missing(images: Path, done: int) -> None:
    views = augment.Views(images, ROWS, ROTATED, 0)
    whole = np.concatenate(list(views.iterate_batches(4)))
    assert len(whole) == len(views) == 14
    assert views.rows.tolist() == [*ROWS, *ROWS]
    assert np.array_equal(whole[:7], np.concatenate(list(store.read_batches(images, ROWS, 8))))
    assert not np.array_equal(whole[:7], whole[7:]), "the second view is changed"
    assert np.array_equal(np.concatenate([whole[:done], *views.iterate_batches(4, done=done)]), whole)


def test_an_order_gives_first_views_as_they_are_and_changes_the_others(images: Path) -> None:
    views = augment.Views(images, ROWS, ROTATED, 0)
    order = np.array([9, 2, 6, 13, 0])
    pixels = np.concatenate(list(views.iterate_shuffled(2, order)))
    originals = np.concatenate(list(store.read_batches(images, ROWS[order % 7], 8)))
    same = [np.array_equal(one, two) for one, two in zip(pixels, originals, strict=True)]
    assert same == [False, True, True, False, True]


def test_one_view_is_never_changed(images: Path) -> None:
    views = augment.Views(images, ROWS, None, 0)
    pixels = np.concatenate(list(views.iterate_shuffled(3, np.arange(7))))
    assert np.array_equal(pixels, np.concatenate(list(views.iterate_batches(3))))
