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
# Pairs of images whose distances stand for those of unrelated images.
SAMPLED_PAIRS = 100_000
# So many pairs an image that chance alone brings are few enough to look at their pixels.
CHANCE_PAIRS = 0.1
LOW = 0.1
# Images of one hash that are compared with each other, and for each of two close hashes: photographs of one wall can
# be many, and those that are copies are found through these.
MOST_OF_A_HASH = 32
MOST_OF_A_PAIR = 4
# Hashes of resized and re-encoded photographs differ in 0 to 6 bits; past this only chance pairs come.
LARGEST_DISTANCE = 12
# Images from which is learnt what those of the set have in common, and how many patterns that may be: of cells of two
# makes, the frames and wires. One for every 8 images leaves what is an image's own.
SAMPLED_IMAGES = 512
IMAGES_A_PATTERN = 8
# Of photographs of cats and dogs, copies of half the size, of 160 pixels, or of JPEG quality 30 are above 0.97 and
# no two others above 0.4. Of solar cells nine of ten copies are above 0.9, as are two photographs of one cell.
LEAST_CORRELATION = 0.9
# Pairs whose images are held at once: at most some 100 MB, however many copies a set has.
PAIRS_AT_ONCE = 1024
# Rows that are compared with all others of their band at a time.
BLOCK = 1024


def calibrate_distance(hashes: np.ndarray, seed: int) -> int:
    """Return the Hamming distance up to which two hashes are worth a look at the pixels, for this set.

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
    # The lower half tells how close unrelated images come; a tenth of the pairs may be copies without moving it.
    low, middle = np.quantile(distances, (LOW, 0.5))
    scale = max((middle - low) / -norm.ppf(LOW), 1.0)
    by_chance = CHANCE_PAIRS * len(hashes) / (len(hashes) * (len(hashes) - 1) / 2)
    # A distance of d covers all below d + 1/2 of the continuous approximation.
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
    """Yield the positions of each key that comes more than once."""
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
        rows: `pixels_sha256` and `perceptual_hash` of readable images.
        distance: Most bits in which hashes differ; `auto` takes it from the set.
        seed: Seed of what `auto` samples.

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

    What all images of the set have in common says nothing: it is taken out, as principal components of some of them,
    and the rest of both must agree. Of images that may be copies one stands for all, or they would be taken for what
    is common.

    Args:
        pairs: Row numbers, of shape (pairs, 2).
        paths: The file of each row, all of them readable.
        limits: What decoding an image may take.
        seed: Seed of the images that stand for the set.

    Returns:
        The pairs that are left.
    """
    if not len(pairs):
        return pairs
    components = _number_components(pairs, len(paths))
    _, different = np.unique(components, return_index=True)
    sample = np.random.default_rng(seed).permutation(different)[:SAMPLED_IMAGES]
    patterns = max(1, len(sample) // IMAGES_A_PATTERN)
    common = PCA(patterns, svd_solver="randomized", random_state=seed)
    common.fit(draw_thumbnails([paths[row] for row in sample], limits))
    # Pairs that share images follow each other, so that few images are decoded twice.
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
        int64 array, a number an image, in order of first appearance.
    """
    alone = "path " + rows["path"]
    keys = [rows["pixels_sha256"].fillna(alone)]
    if "group" in rows:
        keys.append(rows["group"].where(rows["group"] != "", alone))
    nodes = [pd.factorize(key)[0] for key in keys]
    count = len(rows)
    # An image is tied to its pixels' first image, to its group's first image, and to its near copies.
    ties = [near]
    for node in nodes:
        first = pd.Series(range(count)).groupby(node).transform("first").to_numpy()
        ties.append(np.stack([first, np.arange(count)], axis=1))
    return pd.factorize(_number_components(np.concatenate(ties), count))[0]


def _number_components(pairs: np.ndarray, count: int) -> np.ndarray:
    """Number the groups that pairs hold together, of so many things."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]
