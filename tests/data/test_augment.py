import numpy as np
import pytest

from unfreeze.data import augment
from unfreeze.params import Augment

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
    first, again = (augment.augmented(augment.view_maker(settings, 0), PIXELS) for _ in range(2))
    other = augment.augmented(augment.view_maker(settings, 1), PIXELS)
    assert first.shape == PIXELS.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, PIXELS)
    assert not np.array_equal(first, other)


def test_a_flip_mirrors_some_images_and_leaves_the_others() -> None:
    flipped = augment.augmented(augment.view_maker(OFF.model_copy(update={"horizontal_flip": True}), 0), PIXELS)
    mirrored = [np.array_equal(one, two[:, ::-1]) for one, two in zip(flipped, PIXELS, strict=True)]
    kept = [np.array_equal(one, two) for one, two in zip(flipped, PIXELS, strict=True)]
    assert any(mirrored)
    assert any(kept)
    assert all(one or two for one, two in zip(mirrored, kept, strict=True))


def test_views_differ_from_each_other() -> None:
    maker = augment.view_maker(OFF.model_copy(update={"rotation": 30}), 0)
    assert not np.array_equal(augment.augmented(maker, PIXELS), augment.augmented(maker, PIXELS))
