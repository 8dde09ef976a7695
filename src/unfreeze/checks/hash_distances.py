"""Hamming distances of a set's perceptual hashes: which pairs are close, and from where images are unrelated."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

HASH_BITS = 64
# Random pairs whose distances estimate the distribution for unrelated images.
SAMPLED_PAIRS = 100_000
# Accepted false candidates per image: each costs one comparison of pixels.
CHANCE_PAIRS = 0.1
LOW = 0.1
# Hashes of resized and re-encoded photographs differ in 0 to 6 bits; past this only chance pairs come.
LARGEST_DISTANCE = 12
# The perceptual hash sets half of its bits, so hashes of unrelated images differ in about half of 64. The peak was
# at 32 bits for photographs, 30 for digits, 28 for solar cells, which all look alike. Frames of one take peak at
# 0 to 12.
LEAST_PEAK = 20
# Standard deviations below the peak from which two images are unrelated: 1 pair of 160 of a normal distribution.
TAIL = 2.5
# Share of pairs within the largest distance from which a set is full of copies: 0.008 for solar cells, 0.005 for
# digits, 0 for photographs, 0.023 for 40 photographs with 20 copies each.
MANY_COPIES = 0.02
# Hash distances that one step of the smoothed histogram covers; an even number, since most distances are even.
SMOOTHED = 6
# A peak is the maximum of its neighbours so many bits to both sides, and holds such a share of the pairs.
NEIGHBOURS = 4
LEAST_SHARE = 0.002
# Rows compared with all others of their band in one step.
BLOCK = 256
# Close hashes that each hash is paired with in a band, on each side: a burst of thousands is still linked by these.
MOST_CLOSE = 4


@dataclass(frozen=True)
class Distances:
    """What is known of the distances between a set's hashes, in bits.

    Args:
        limit: Up to here the pixels of two images are compared, 0 to 12.
        unrelated: From here two images are unrelated; None if no two images of the set are.
        many_copies: Whether pairs of copies are so many that a random sample of images holds some.
    """

    limit: int
    unrelated: float | None
    many_copies: bool


def describe_distances(hashes: np.ndarray, seed: int) -> Distances:
    """Describe a set by the distances of random pairs of its hashes.

    Images of one kind have hashes close to each other, so a fixed distance calls most of them copies. The limit is
    the largest distance at which unrelated images bring at most one pair for every ten images, by the normal
    approximation. Pairs of copies would bend that approximation where they are many, so they are left out of it:
    they lie far below the peak that pairs of unrelated images make.

    Args:
        hashes: uint64 array, one perceptual hash an image.
        seed: Seed of the pairs.
    """
    first, second = np.random.default_rng(seed).integers(0, max(len(hashes), 1), (2, SAMPLED_PAIRS))
    distances = np.bitwise_count(hashes[first] ^ hashes[second])[first != second] if len(hashes) else np.empty(0)
    if not len(distances):
        return Distances(0, None, False)
    tail = find_tail(distances)
    if tail is None:
        # One scene: copies throughout, or one kind of image that differs in small things.
        if np.median(distances) <= LARGEST_DISTANCE / 2:
            return Distances(LARGEST_DISTANCE, None, True)
        return Distances(_limit_chance_pairs(distances, len(hashes)), None, False)
    many_copies = bool(np.mean(distances <= LARGEST_DISTANCE) > MANY_COPIES)
    if many_copies:
        distances = distances[distances >= tail]
    return Distances(_limit_chance_pairs(distances, len(hashes)), tail, many_copies)


def find_tail(distances: np.ndarray) -> float | None:
    """Return the distance that hardly any pair of unrelated images falls below; None if no pair is unrelated.

    Only the peak of the histogram and what lies above it are used: copies change neither.

    Args:
        distances: Array of shape (pairs,), bits.
    """
    peak = _find_last_peak(distances)
    if peak is None:
        return None
    middle = float(distances[np.abs(distances.astype(float) - peak) <= NEIGHBOURS].mean())
    above = distances[distances >= middle]
    scale = float(np.sqrt(np.mean((above - middle) ** 2)))
    return middle - TAIL * scale


def _find_last_peak(distances: np.ndarray) -> int | None:
    """Return where unrelated images peak, None if nowhere: at the last peak, since copies make one far below it."""
    counts = np.bincount(distances.astype(int), minlength=HASH_BITS + 1) / len(distances)
    smoothed = np.convolve(counts, np.ones(SMOOTHED), "same")
    for peak in range(HASH_BITS - NEIGHBOURS, LEAST_PEAK, -1):
        around = smoothed[peak - NEIGHBOURS : peak + NEIGHBOURS + 1]
        if smoothed[peak] >= LEAST_SHARE and smoothed[peak] == around.max():
            return peak
    return None


def _limit_chance_pairs(distances: np.ndarray, images: int) -> int:
    """Return the largest distance, 0 to 12, with few pairs by chance."""
    low, middle = np.quantile(distances, (LOW, 0.5))
    scale = max((middle - low) / -norm.ppf(LOW), 1.0)
    by_chance = CHANCE_PAIRS * images / (images * (images - 1) / 2)
    # Continuity correction: the integer distance d covers all values below d + 1/2.
    bound = norm.ppf(min(by_chance, 0.5), loc=middle, scale=scale) - 0.5
    return int(np.clip(np.floor(bound), 0, LARGEST_DISTANCE))


def choose_unrelated(hashes: np.ndarray, distance: float, most: int, seed: int) -> np.ndarray:
    """Choose images of which no two are close, in random order.

    Args:
        hashes: uint64 array, one perceptual hash an image.
        distance: Fewest bits in which two chosen ones differ.
        most: Most images.
        seed: Seed of the order.

    Returns:
        int64 array of shape (images chosen,): positions.
    """
    chosen: list[int] = []
    for position in np.random.default_rng(seed).permutation(len(hashes)):
        if np.all(np.bitwise_count(hashes[position] ^ hashes[chosen]) >= distance):
            chosen.append(int(position))
            if len(chosen) == most:
                break
    return np.array(chosen, np.int64)


def find_close_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
    """Find pairs of hashes that differ in at most some bits.

    Hashes are cut into one band more than bits may differ, so two of a pair share a band: only those that do are
    compared (the pigeonhole principle; Norouzi et al. 2012). Of a hash that is close to many only some pairs are
    found, enough to link all of them.

    Args:
        hashes: uint64 array of different hashes.
        distance: Most bits in which two differ, below 64.

    Returns:
        int64 array of shape (pairs, 2): positions, the smaller first, sorted.
    """
    found = [np.empty((0, 2), np.int64)]
    edges = np.linspace(0, HASH_BITS, distance + 2).astype(int)
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        band = (hashes >> np.uint64(start)) & np.uint64((1 << int(end - start)) - 1)
        for members in _split_by_key(band):
            found.extend(_find_pairs_within(hashes, members, distance))
    return np.unique(np.concatenate(found), axis=0)


def _split_by_key(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the positions of each key that occurs more than once."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order])) + 1
    yield from (group for group in np.split(order, starts) if len(group) > 1)


def _find_pairs_within(hashes: np.ndarray, members: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    paired = np.zeros(len(members), np.int64)
    for start in range(0, len(members), BLOCK):
        rows, others = members[start : start + BLOCK], members[start:]
        close = np.triu(np.bitwise_count(hashes[rows, None] ^ hashes[others]) <= distance, 1)
        # Each hash keeps its first close ones, and is kept by those that come first: none loses all its pairs.
        before = paired[start:] + np.cumsum(close, axis=0, dtype=np.int32)
        paired[start:] = before[-1]
        after = np.cumsum(close, axis=1, dtype=np.int32)
        first, second = np.nonzero(close & (np.minimum(before, after) <= MOST_CLOSE))
        if len(first):
            yield np.sort(np.stack([rows[first], others[second]], axis=1), axis=1)
