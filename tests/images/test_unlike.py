import numpy as np
import pytest

from unfreeze.images import unlike


@pytest.mark.parametrize("kind", unlike.KINDS)
@pytest.mark.parametrize("size", [8, 33, 160])
def test_images_are_drawn_the_same_for_the_same_seed_and_differ_otherwise(kind: str, size: int) -> None:
    drawn = unlike.draw(kind, size, 3, 0)
    assert (drawn.shape, drawn.dtype) == ((3, size, size, 3), np.uint8)
    np.testing.assert_array_equal(drawn[:2], unlike.draw(kind, size, 2, 0))
    assert (drawn[0] != drawn[1]).any()
    assert (drawn != unlike.draw(kind, size, 3, 1)).any()


def test_pages_hold_dark_text_on_light_paper() -> None:
    page = unlike.draw("text pages", 160, 1, 0)[0].mean(axis=-1)
    assert np.median(page) > 200
    assert 0.02 < (page < 120).mean() < 0.5


def test_colours_are_flat() -> None:
    colours = unlike.draw("flat colours", 32, 5, 0)
    assert (colours == colours[:, :1, :1]).all()
