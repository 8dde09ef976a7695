import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from unfreeze.checks.many_hashes import MOST_CLOSE, find_close_pairs


def compare_all(hashes: np.ndarray, distance: int) -> np.ndarray:
    return np.argwhere(np.triu(np.bitwise_count(hashes[:, None] ^ hashes) <= distance, 1))


def flip_bits(hashes: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Return copies of hashes that differ in at most so many bits."""
    for _ in range(count):
        hashes = hashes ^ (np.uint64(1) << random.integers(0, 64, len(hashes)).astype(np.uint64))
    return hashes


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2**32))
def test_every_close_pair_is_found_and_no_other(distance: int, flipped: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    some = random.integers(0, 2**64, 120, dtype=np.uint64)
    hashes = np.unique(np.concatenate([some, flip_bits(some[:50], flipped, random)]))
    np.testing.assert_array_equal(find_close_pairs(hashes, distance), compare_all(hashes, distance))


def test_frames_of_one_camera_are_linked_by_few_pairs() -> None:
    random = np.random.default_rng(0)
    cameras = np.repeat(random.integers(0, 2**64, 2, dtype=np.uint64), 700)
    hashes = np.unique(flip_bits(cameras, 5, random))
    pairs = find_close_pairs(hashes, 12)
    assert len(pairs) < 2 * MOST_CLOSE * len(hashes)
    assert len(compare_all(hashes, 12)) > 10 * len(pairs)

    def count_groups(linked: np.ndarray) -> int:
        size = len(hashes)
        graph = coo_array((np.ones(len(linked)), (linked[:, 0], linked[:, 1])), shape=(size, size))
        return int(connected_components(graph, directed=False)[0])

    assert count_groups(pairs) == count_groups(compare_all(hashes, 12))


def test_without_hashes_there_is_no_pair() -> None:
    assert find_close_pairs(np.empty(0, np.uint64), 5).shape == (0, 2)
