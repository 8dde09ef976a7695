from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.datasets import load_digits

from tests.conftest import LIMITS
from tests.scenes import draw_frame, draw_scene
from unfreeze.checks import duplicates, hash_distances, manifest
from unfreeze.settings.checks import Checks

HASHES = st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=40)


@given(
    hashes=HASHES,
    copies=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 63)), max_size=20),
    most=st.integers(0, 12),
)
def test_close_pairs_are_those_of_comparing_all_with_all(
    hashes: list[int], copies: list[tuple[int, int]], most: int
) -> None:
    hashes += [hashes[place % len(hashes)] ^ (1 << bit) for place, bit in copies if hashes]
    values = np.array(sorted(set(hashes)), np.uint64)
    expected = [
        pair
        for pair in combinations(range(len(values)), 2)
        if (int(values[pair[0]]) ^ int(values[pair[1]])).bit_count() <= most
    ]
    found = [(int(first), int(second)) for first, second in hash_distances.find_close_pairs(values, most)]
    assert set(found) <= set(expected)
    # Of a hash with many close ones some pairs are left out, never all of them.
    assert {place for pair in found for place in pair} == {place for pair in expected for place in pair}
    partners = Counter(place for pair in expected for place in pair)
    few = [pair for pair in expected if max(partners[place] for place in pair) <= hash_distances.MOST_CLOSE]
    assert set(few) <= set(found)


def test_a_burst_of_thousands_is_linked_by_few_pairs() -> None:
    random = np.random.default_rng(0)
    flipped = np.uint64(1) << random.integers(0, 64, (4, 3000), dtype=np.uint64)
    values = np.unique(np.bitwise_xor.reduce(flipped, axis=0))
    pairs = hash_distances.find_close_pairs(values, 12)
    graph = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), shape=(len(values),) * 2)
    assert connected_components(graph, directed=False)[0] == 1
    assert len(pairs) < 100 * len(values)


def test_the_distance_follows_the_sets_own_distances() -> None:
    random = np.random.default_rng(0)
    unlike = random.integers(0, 2**64, 2000, dtype=np.uint64)
    # Hashes that differ in a few bits only, as those of digits or of scans do.
    alike = np.bitwise_or.reduce(np.uint64(1) << random.integers(0, 64, (6, 2000), dtype=np.uint64), axis=0)
    assert hash_distances.describe_distances(unlike, 0).limit >= 8
    assert hash_distances.describe_distances(alike, 0).limit <= 5
    assert hash_distances.describe_distances(unlike[:1], 0).limit == 0


def found(root: Path, names: list[str]) -> set[tuple[str, str]]:
    rows = manifest.measure_images(pd.DataFrame({"path": names, "label": "x"}), root, LIMITS)
    pairs = duplicates.find_near_copies(rows, [root / name for name in names], "auto", LIMITS, 0)
    return {tuple(sorted((names[a], names[b]))) for a, b in pairs}  # type: ignore[misc]


def test_resized_and_reencoded_copies_are_found_and_others_are_not(tmp_path: Path) -> None:
    for number in range(20):
        draw_scene(number).save(tmp_path / f"{number}.png")
    draw_scene(0).resize((90, 90), Image.Resampling.BILINEAR).save(tmp_path / "small.png")
    draw_scene(1).save(tmp_path / "coarse.jpg", quality=30)
    draw_scene(2).resize((400, 400), Image.Resampling.BICUBIC).save(tmp_path / "large.webp", quality=80)
    draw_scene(3).filter(ImageFilter.GaussianBlur(40)).save(tmp_path / "other.png")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert found(tmp_path, names) == {("0.png", "small.png"), ("1.png", "coarse.jpg"), ("2.png", "large.webp")}


@pytest.mark.slow
def test_many_copies_of_each_of_few_scenes_are_found(tmp_path: Path) -> None:
    names = []
    for number in range(30):
        for quality in (95, 70, 50, 35):
            names.append(f"{number:02}-{quality}.jpg")
            draw_scene(number).save(tmp_path / names[-1], quality=quality)
    pairs = found(tmp_path, names)
    assert all(first[:2] == second[:2] for first, second in pairs)
    assert len({name for pair in pairs for name in pair}) == len(names)


@pytest.mark.slow
def test_few_thumbnails_are_held_however_many_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number}-{quality}.jpg" for number in range(12) for quality in (95, 70, 50, 35)]
    for name in names:
        number, quality = name.removesuffix(".jpg").split("-")
        draw_scene(int(number)).save(tmp_path / name, quality=int(quality))
    whole, held, draw = found(tmp_path, names), [], duplicates.draw_thumbnails

    def counted(paths: list[Path], checks: Checks) -> np.ndarray:
        held.append(len(paths))
        return draw(paths, checks)

    monkeypatch.setattr(duplicates, "draw_thumbnails", counted)
    monkeypatch.setattr(duplicates, "SAMPLED_IMAGES", 12)
    monkeypatch.setattr(duplicates, "PAIRS_AT_ONCE", 6)
    assert found(tmp_path, names) == whole
    assert len(whole) == 12 * 6
    # The first call draws those that stand for the set.
    assert max(held[1:]) <= 2 * 6
    # Pairs of one scene are looked at together: nearly no image is drawn twice.
    assert sum(held[1:]) <= 1.5 * len(names)


def test_images_of_one_hash_are_all_compared() -> None:
    numbers, last = np.arange(4), 2**64 - 1
    assert duplicates.find_candidates(np.array([0, 0, 0, last], np.uint64), numbers, 0).tolist() == [
        [0, 1],
        [0, 2],
        [1, 2],
    ]
    near = duplicates.find_candidates(np.array([0, 0, 1, last], np.uint64), numbers, 1)
    assert sorted(near.tolist()) == [[0, 1], [0, 2], [1, 2]]


def count_clusters(root: Path, images: list[Image.Image]) -> int:
    """Return the number of clusters of these images."""
    root.mkdir()
    names = [f"{number:04}.png" for number in range(len(images))]
    for name, image in zip(names, images, strict=True):
        image.save(root / name, compress_level=0)
    rows = manifest.measure_images(pd.DataFrame({"path": names, "label": "x"}), root, LIMITS)
    pairs = duplicates.find_near_copies(rows, [root / name for name in names], "auto", LIMITS, 0)
    return len(set(duplicates.number_clusters(rows, pairs)))


@pytest.mark.slow
@pytest.mark.parametrize("frames", [0, 20, 100])
def test_a_burst_is_one_cluster_however_large_its_share(tmp_path: Path, frames: int) -> None:
    random = np.random.default_rng(1)
    unrelated = [draw_scene(number, 100) for number in range(100)]
    base = draw_scene(10**6, 100)
    burst = [
        Image.fromarray(np.clip(np.asarray(base) + random.normal(0, 8, (100, 100, 3)), 0, 255).astype("uint8"))
        for _ in range(frames)
    ]
    assert count_clusters(tmp_path / "images", unrelated + burst) == 100 + (frames > 0)


@pytest.mark.slow
def test_takes_are_found_in_a_set_that_is_nothing_but_frames(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    images = [draw_frame(draw_scene(take, 100), random) for take in range(6) for _ in range(30)]
    assert count_clusters(tmp_path / "images", images) <= 7


@pytest.mark.slow
def test_noise_on_one_scene_makes_no_second_image(tmp_path: Path) -> None:
    random, base = np.random.default_rng(3), np.asarray(draw_scene(0, 100))
    noisy = [np.clip(base + random.normal(0, 8, base.shape), 0, 255).astype("uint8") for _ in range(40)]
    assert count_clusters(tmp_path / "images", [Image.fromarray(pixels) for pixels in noisy]) == 1


@pytest.mark.slow
def test_digits_are_no_copies_of_each_other(tmp_path: Path) -> None:
    for number, image in enumerate(load_digits().images[:600]):
        Image.fromarray((image * 15.9).astype("uint8")).resize((28, 28)).save(tmp_path / f"{number:03}.png")
    names = sorted(path.name for path in tmp_path.iterdir())
    flagged = {name for pair in found(tmp_path, names) for name in pair}
    assert len(flagged) <= 0.02 * len(names)


def test_clusters_join_copies_near_copies_and_groups() -> None:
    rows = pd.DataFrame({"path": list("abcdef"), "pixels_sha256": ["1", "2", "1", None, "3", None]})
    near = np.array([[1, 4]])
    assert duplicates.number_clusters(rows, near).tolist() == [0, 1, 0, 2, 1, 3]
    # Who has no group is a group of one.
    grouped = rows.assign(group=["p", "q", "r", "q", "", ""])
    assert duplicates.number_clusters(grouped, near).tolist() == [0, 1, 0, 1, 1, 2]
