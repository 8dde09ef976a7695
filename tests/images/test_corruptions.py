import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from unfreeze.images import corruptions
from unfreeze.images.corruptions import CORRUPTIONS, STRENGTHS

names = st.sampled_from(CORRUPTIONS)
strengths = st.sampled_from(STRENGTHS)
seeds = st.integers(0, 2**31 - 1)


def textured(seed: int, side: int = 96) -> np.ndarray:
    """Draw coloured waves, long enough for a picture to differ the more the further it is turned, with some grain."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    waves = sum(
        random.uniform(-1, 1, 3)
        * np.sin(2 * np.pi * (random.uniform(-1, 1) * x + random.uniform(-1, 1) * y + random.random()))[..., None]
        for _ in range(12)
    )
    picture = 110 + 25 * waves + random.normal(0, 8, (side, side, 3))
    return np.clip(picture, 0, 255).astype("uint8")


def noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


@given(name=names, strength=strengths, seed=seeds, count=st.integers(0, 3), height=st.integers(8, 40))
def test_shape_and_kind_are_kept_and_the_input_is_left_alone(
    name: str, strength: int, seed: int, count: int, height: int
) -> None:
    pixels = noise(seed, (count, height, 24, 3))
    before = pixels.copy()
    found = corruptions.corrupt(pixels, name, strength, seed, rows=range(count))
    assert found.dtype == np.uint8
    assert found.shape == pixels.shape
    assert np.array_equal(pixels, before)


@given(name=names, strength=strengths, seed=seeds, cut=st.integers(0, 5))
def test_a_picture_does_not_depend_on_its_batch(name: str, strength: int, seed: int, cut: int) -> None:
    pixels, rows = noise(seed, (5, 16, 16, 3)), np.array([3, 4, 9, 100, 7])
    whole = corruptions.corrupt(pixels, name, strength, seed, rows=rows)
    parts = [
        corruptions.corrupt(pixels[part], name, strength, seed, rows=rows[part])
        for part in (slice(0, cut), slice(cut, 5))
    ]
    assert np.array_equal(np.concatenate(parts), whole)


@settings(max_examples=20)
@given(name=names, seed=seeds)
def test_stronger_is_further_from_the_original(name: str, seed: int) -> None:
    pixels = textured(seed)[None]
    distances = [
        np.abs(corruptions.corrupt(pixels, name, strength, seed, rows=[0]) - pixels.astype(float)).mean()
        for strength in STRENGTHS
    ]
    assert distances[0] > 0
    assert distances == sorted(distances)


def test_chance_differs_from_row_to_row_and_from_seed_to_seed() -> None:
    pixels = np.full((2, 16, 16, 3), 128, "uint8")
    one, two = corruptions.corrupt(pixels, "noise", 3, 0, rows=[0, 1])
    (other,) = corruptions.corrupt(pixels[:1], "noise", 3, 1, rows=[0])
    assert not np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_amounts_are_those_of_the_source() -> None:
    grey = np.full((1, 100, 100, 3), 128, "uint8")
    noisy = corruptions.corrupt(grey, "noise", 1, 0, rows=[0])
    assert noisy.std() == pytest.approx(0.08 * 255, rel=0.02)
    assert (corruptions.corrupt(grey, "brightness", 2, 0, rows=[0]) == round(128 + 0.2 * 255)).all()
    halves = np.zeros((1, 8, 8, 3), "uint8")
    halves[:, :, 4:] = 200
    flat = corruptions.corrupt(halves, "contrast", 1, 0, rows=[0])
    assert set(flat.ravel()) == {100 - 40, 100 + 40}


def test_a_turned_picture_keeps_its_middle() -> None:
    pixels = np.zeros((1, 65, 65, 3), "uint8")
    pixels[:, 30:35, 30:35] = 255
    for strength in STRENGTHS:
        turned = corruptions.corrupt(pixels, "rotation", strength, 0, rows=[0])
        assert (turned[0, 31:34, 31:34] > 200).all()
