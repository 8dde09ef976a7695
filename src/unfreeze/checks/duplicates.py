"""Copies of one image: exact ones by their pixels, near ones by perceptual hash, confirmed on the pixels."""

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm
from sklearn.decomposition import PCA

from unfreeze.checks.thumbnails import SMALLEST_NORM, draw_thumbnails
from unfreeze.settings.checks import Limits

HASH_BITS = 64
# Random pairs whose distances estimate the distribution for unrelated images.
SAMPLED_PAIRS = 100_000
# Accepted false candidates per image: each costs one comparison of pixels.
CHANCE_PAIRS = 0.1
LOW = 0.1
# Limits of comparisons: images of one hash that are compared with each other, and images a side for two close hashes.
# One motif can have thousands of photographs; copies among them are still linked through these.
MOST_OF_A_HASH = 32
MOST_OF_A_PAIR = 4
# Hashes of resized and re-encoded photographs differ in 0 to 6 bits; past this only chance pairs come.
LARGEST_DISTANCE = 12
# Images that the principal components are fitted on, and images per component. Components capture what all images
# share, such as the frame and wires of solar cells; one for every 8 images leaves the content of single images.
SAMPLED_IMAGES = 512
IMAGES_A_PATTERN = 8
# Correlation from which two images show the same. Photographs of cats and dogs: copies of half the size, of 160 px
# or of JPEG quality 30 exceed 0.97, no two other images 0.4. Solar cells: nine of ten copies exceed 0.9.
LEAST_CORRELATION = 0.9
# Pairs whose images are in memory at once: about 100 MB at most.
PAIRS_AT_ONCE = 1024
# Rows compared with all others of their band in one step.
BLOCK = 1024


def calibrate_distance(hashes: np.ndarray, seed: int) -> int:
    """Return the Hamming distance up to which the pixels of two images are compared, for this set.

    Images of one kind have hashes close to each other, so a fixed distance calls most of them copies. Here it is the
    largest at which unrelated images bring at most one pair for every ten images, by the normal approximation of
    the distances of random pairs.

    Args:
        hashes: uint64 array, one perceptual hash an image.
        seed: Seed of the pairs.

    Returns:
        Bits, 0 to 12.
    """
    if len(hashes) < 2:
        return 0
    first, second = np.random.default_rng(seed).integers(0, len(hashes), (2, SAMPLED_PAIRS))
    distances = np.bitwise_count(hashes[first] ^ hashes[second])[first != second]
    # Fit the lower half of the distances: up to a tenth of the pairs may be copies without changing these quantiles.
    low, middle = np.quantile(distances, (LOW, 0.5))
    scale = max((middle - low) / -norm.ppf(LOW), 1.0)
    by_chance = CHANCE_PAIRS * len(hashes) / (len(hashes) * (len(hashes) - 1) / 2)
    # Continuity correction: the integer distance d covers all values below d + 1/2.
    bound = norm.ppf(min(by_chance, 0.5), loc=middle, scale=scale) - 0.5
    return int(np.clip(np.floor(bound), 0, LARGEST_DISTANCE))


def find_close_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
    """Find all pairs of hashes that differ in at most some bits.

    Hashes are cut into one band more than bits may differ, so two of a pair share a band: only those that do are
    compared (the pigeonhole principle; Norouzi et al. 2012).

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
    for start in range(0, len(members), BLOCK):
        rows = members[start : start + BLOCK]
        others = members[start:]
        close = np.bitwise_count(hashes[rows, None] ^ hashes[others]) <= distance
        first, second = np.nonzero(np.triu(close, 1))
        if len(first):
            yield np.sort(np.stack([rows[first], others[second]], axis=1), axis=1)


def find_candidates(rows: pd.DataFrame, distance: int | str, seed: int) -> np.ndarray:
    """Return pairs of different images whose perceptual hashes are close.

    Args:
        rows: `pixels_sha256` and `perceptual_hash` (16 hexadecimal digits) of readable images.
        distance: Most bits in which hashes differ; `auto` calibrates it on the set.
        seed: Seed of the pairs that `auto` samples.

    Returns:
        int64 array of shape (pairs, 2): row numbers.
    """
    different = rows.reset_index(drop=True).drop_duplicates("pixels_sha256")
    if different.empty:
        return np.empty((0, 2), np.int64)
    hashes = different["perceptual_hash"].map(lambda text: int(text, 16)).to_numpy(np.uint64)
    numbers = different.index.to_numpy()
    values, inverse = np.unique(hashes, return_inverse=True)
    members = np.split(numbers[np.argsort(inverse, kind="stable")], np.cumsum(np.bincount(inverse))[:-1])
    most = calibrate_distance(hashes, seed) if distance == "auto" else int(distance)
    pairs = [
        *(pair for of_hash in members for pair in combinations(of_hash[:MOST_OF_A_HASH], 2)),
        *((of_hash[0], other) for of_hash in members for other in of_hash[MOST_OF_A_HASH:]),
        *(
            pair
            for first, second in find_close_pairs(values, most)
            for pair in product(members[first][:MOST_OF_A_PAIR], members[second][:MOST_OF_A_PAIR])
        ),
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def confirm_pairs(pairs: np.ndarray, paths: list[Path], limits: Limits, seed: int) -> np.ndarray:
    """Keep the pairs whose pixels show the same.

    Principal components remove what all images of the set share; the residuals of both must correlate. The components
    are fitted on one image of each candidate group: many copies of one image would become a component themselves.

    Args:
        pairs: Row numbers, of shape (pairs, 2).
        paths: The file of each row, all of them readable.
        limits: Most pixels, memory and time that an image may take.
        seed: Seed of the images that the components are fitted on.

    Returns:
        int64 array of shape (pairs kept, 2).
    """
    if not len(pairs):
        return pairs
    components = _number_components(pairs, len(paths))
    _, different = np.unique(components, return_index=True)
    sample = np.random.default_rng(seed).permutation(different)[:SAMPLED_IMAGES]
    patterns = max(1, len(sample) // IMAGES_A_PATTERN)
    common = PCA(patterns, svd_solver="randomized", random_state=seed)
    common.fit(draw_thumbnails([paths[row] for row in sample], limits))
    # Sort pairs by group, so that few images are decoded twice.
    order = np.argsort(components[pairs[:, 0]], kind="stable")
    alike = np.empty(len(pairs), bool)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = order[start : start + PAIRS_AT_ONCE]
        rows, places = np.unique(pairs[part], return_inverse=True)
        shown = draw_thumbnails([paths[row] for row in rows], limits)
        own = shown - common.inverse_transform(common.transform(shown))
        own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), SMALLEST_NORM)
        first, second = places.reshape(-1, 2).T
        alike[part] = np.einsum("ij,ij->i", own[first], own[second]) >= LEAST_CORRELATION
    return pairs[alike]


def number_clusters(rows: pd.DataFrame, near: np.ndarray) -> np.ndarray:
    """Number the groups of images that must stay together.

    Args:
        rows: `path`, `pixels_sha256` (null where unreadable) and, where the source has one, `group` (empty for none).
        near: Pairs of row numbers that show the same, of shape (pairs, 2).

    Returns:
        int64 array of shape (images,): numbers from 0 in order of first appearance.

    Example:
        >>> rows = pd.DataFrame({"path": ["a", "b", "c"], "pixels_sha256": ["1", "2", "1"]})
        >>> number_clusters(rows, np.array([[0, 1]])).tolist()
        [0, 0, 0]
    """
    alone = "path " + rows["path"]
    keys = [rows["pixels_sha256"].fillna(alone)]
    if "group" in rows:
        keys.append(rows["group"].where(rows["group"] != "", alone))
    nodes = [pd.factorize(key)[0] for key in keys]
    count = len(rows)
    # Link each image to the first one with its pixels, to the first one of its group, and to its near copies.
    ties = [near]
    for node in nodes:
        first = pd.Series(range(count)).groupby(node).transform("first").to_numpy()
        ties.append(np.stack([first, np.arange(count)], axis=1))
    return pd.factorize(_number_components(np.concatenate(ties), count))[0]


def _number_components(pairs: np.ndarray, count: int) -> np.ndarray:
    """Number the connected components of a graph with `count` nodes and these edges."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])
