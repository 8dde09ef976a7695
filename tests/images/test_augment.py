from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfreeze.images import augment, store
from unfreeze.settings.images import Augment

OFF = Augment(views=1, horizontal_flip=False, vertical_flip=False, rotation=0, shear=0, scale=0, brightness=0)
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3)).astype("uint8")


def change_all(settings: Augment, *seed: int) -> np.ndarray:
    return augment.apply_changes(
        PIXELS, [augment.draw_change(settings, (*seed, number)) for number in range(len(PIXELS))]
    )


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
    first, again, other = (change_all(settings, seed) for seed in (0, 0, 1))
    assert first.shape == PIXELS.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, PIXELS)
    assert not np.array_equal(first, other)


def test_without_changes_images_stay_as_they_are() -> None:
    assert np.array_equal(change_all(OFF, 0), PIXELS)


@pytest.mark.parametrize(("name", "mirror"), [("horizontal_flip", np.s_[:, ::-1]), ("vertical_flip", np.s_[::-1])])
def test_a_flip_mirrors_some_images_and_leaves_the_others(name: str, mirror: tuple[slice, ...]) -> None:
    flipped = change_all(OFF.model_copy(update={name: True}), 0)
    mirrored = [np.array_equal(one, two[mirror]) for one, two in zip(flipped, PIXELS, strict=True)]
    kept = [np.array_equal(one, two) for one, two in zip(flipped, PIXELS, strict=True)]
    assert any(mirrored)
    assert any(kept)
    assert all(one or two for one, two in zip(mirrored, kept, strict=True))


def test_a_quarter_turn_is_numpys() -> None:
    matrix = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    (turned,) = augment.apply_changes(PIXELS[:1], [augment.Change(matrix, 0)])
    assert np.array_equal(turned, np.rot90(PIXELS[0]))


def test_twice_the_scale_shows_the_image_and_its_mirror_images() -> None:
    smooth = np.full((1, 9, 9, 3), 200, np.uint8)
    smooth[0, 4, 4] = 0
    shown = {}
    for scale in (0.5, 1, 2):
        (changed,) = augment.apply_changes(smooth, [augment.Change(np.diag([scale, scale, 1.0]), 0)])
        assert (changed[4, 4] == 0).all(), "the middle stays where it is"
        shown[scale] = (changed < 200).any(axis=-1).sum()
    # Seen from twice as far away a thing is a quarter of the size, and more of them are seen.
    assert shown[0.5] == 9
    assert shown[1] == shown[2] == 1


def test_brightness_is_added_and_ends_at_black_and_white() -> None:
    (brighter,) = augment.apply_changes(PIXELS[:1], [augment.Change(np.eye(3), 100)])
    assert np.array_equal(brighter, np.minimum(PIXELS[0].astype(int) + 100, 255))


@given(st.integers(0, 2**32), st.floats(0, 180), st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0, 0.9))
def test_a_change_is_no_larger_than_its_setting(
    seed: int, rotation: float, shear: float, scale: float, brightness: float
) -> None:
    changes = {"rotation": rotation, "shear": shear, "scale": scale, "brightness": brightness}
    change = augment.draw_change(OFF.model_copy(update=changes), (seed,))
    assert abs(change.brightness) <= 255 * brightness
    # The area grows by the square of the scale, and by one shear times the other.
    area = np.linalg.det(change.matrix)
    assert (1 - scale) ** 2 * (1 - shear**2) - 1e-9 <= area <= (1 + scale) ** 2 * (1 + shear**2) + 1e-9


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


@pytest.mark.parametrize("done", [0, 3, 4, 7, 11, 14])
def test_going_on_gives_the_batches_that_were_missing(images: Path, done: int) -> None:
    views = augment.Views(images, ROWS, ROTATED, 0)
    whole = np.concatenate(list(views.iterate_batches(4)))
    assert len(whole) == len(views) == 14
    assert views.rows.tolist() == [*ROWS, *ROWS]
    assert np.array_equal(whole[:7], np.concatenate(list(store.read_batches(images, ROWS, 8))))
    assert not np.array_equal(whole[:7], whole[7:]), "the second view is changed"
    assert np.array_equal(np.concatenate([whole[:done], *views.iterate_batches(4, done)]), whole)
    assert np.array_equal(np.concatenate([*views.iterate_batches(4, 0, done), whole[done:]]), whole)
    for batch in views.iterate_batches(4, done):
        assert len(batch) <= 4


@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_a_view_does_not_depend_on_its_neighbours(images: Path, size: int) -> None:
    whole = np.concatenate(list(augment.Views(images, ROWS, ROTATED, 0).iterate_batches(4)))
    again = np.concatenate(list(augment.Views(images, ROWS, ROTATED, 0).iterate_batches(size)))
    assert np.array_equal(whole, again)
    fewer = augment.Views(images, ROWS[3:5], ROTATED, 0)
    assert np.array_equal(np.concatenate(list(fewer.iterate_batches(size)))[2:], whole[10:12])
    order = np.array([13, 4, 8, 0])
    assert np.array_equal(
        np.concatenate(list(augment.Views(images, ROWS, ROTATED, 0).iterate_shuffled(size, order, 0))), whole[order]
    )


def test_an_order_gives_first_views_as_they_are_and_changes_the_others(images: Path) -> None:
    views = augment.Views(images, ROWS, ROTATED, 0)
    order = np.array([9, 2, 6, 13, 0])
    pixels, again, other = (np.concatenate(list(views.iterate_shuffled(2, order, epoch))) for epoch in (1, 1, 2))
    assert np.array_equal(pixels, again)
    originals = np.concatenate(list(store.read_batches(images, ROWS[order % 7], 8)))
    same = [np.array_equal(one, two) for one, two in zip(pixels, originals, strict=True)]
    assert same == [False, True, True, False, True]
    assert [np.array_equal(one, two) for one, two in zip(pixels, other, strict=True)] == same


def test_one_view_is_never_changed(images: Path) -> None:
    views = augment.Views(images, ROWS, None, 0)
    pixels = np.concatenate(list(views.iterate_shuffled(3, np.arange(7), 1)))
    assert np.array_equal(pixels, np.concatenate(list(views.iterate_batches(3))))


def test_fresh_views_change_every_image_anew_in_each_epoch_and_never_in_order(images: Path) -> None:
    flipped = OFF.model_copy(update={"horizontal_flip": True, "every_epoch": True})
    views = augment.Views(images, ROWS, flipped, 0, fresh=True)
    pixels = np.concatenate(list(store.read_batches(images, ROWS, 8)))
    assert np.array_equal(np.concatenate(list(views.iterate_batches(4))), pixels)
    order = np.array([6, 2, 4, 0, 1, 3, 5])
    epochs = [np.concatenate(list(views.iterate_shuffled(3, order, epoch))) for epoch in range(4)]
    assert np.array_equal(epochs[1], np.concatenate(list(views.iterate_shuffled(5, order, 1))))
    pairs = [list(zip(epoch, pixels[order], strict=True)) for epoch in epochs]
    mirrored = [[np.array_equal(shown[:, ::-1], image) for shown, image in epoch] for epoch in pairs]
    kept = [[np.array_equal(shown, image) for shown, image in epoch] for epoch in pairs]
    assert (np.array(mirrored) | np.array(kept)).all()
    assert len(np.unique(kept, axis=0)) > 1, "epochs differ"
