"""Copies of one image: exact ones by their pixels, near ones by perceptual hash, confirmed on the pixels."""

from collections.abc import Iterator
from functools import partial
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm
from sklearn.decomposition import PCA

from unfreeze.data import decoding
from unfreeze.isolation import Failure, run_isolated
from unfreeze.params import Checks

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
# Side of what two images are compared on, pixels: what makes two photographs of one scene differ is still there,
# the noise of an encoder is not.
COMPARED_SIZE = 64
# Images from which is learnt what those of the set have in common, and how many patterns that may be: of cells of two
# makes, the frames and wires. One for every 8 images leaves what is an image's own.
SAMPLED_IMAGES = 512
IMAGES_A_PATTERN = 8
# Of photographs of cats and dogs, copies of half the size, of 160 pixels, or of JPEG quality 30 are above 0.97 and
# no two others above 0.4. Of solar cells nine of ten copies are above 0.9, as are two photographs of one cell.
LEAST_CORRELATION = 0.9
# Rows that are compared with all others of their band at a time.
BLOCK = 1024


def calibrated_distance(hashes: np.ndarray, seed: int) -> int:
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


def close_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
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
        for members in _groups(band):
            found.extend(_pairs_within(hashes, members, distance))
    return np.unique(np.concatenate(found), axis=0)


def _groups(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the positions of each key that comes more than once."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order])) + 1
    yield from (group for group in np.split(order, starts) if len(group) > 1)


def _pairs_within(hashes: np.ndarray, members: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    for start in range(0, len(members), BLOCK):
        rows = members[start : start + BLOCK]
        others = members[start:]
        close = np.bitwise_count(hashes[rows, None] ^ hashes[others]) <= distance
        first, second = np.nonzero(np.triu(close, 1))
        if len(first):
            yield np.sort(np.stack([rows[first], others[second]], axis=1), axis=1)


def candidates(rows: pd.DataFrame, distance: int | str, seed: int) -> np.ndarray:
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
    most = calibrated_distance(hashes, seed) if distance == "auto" else int(distance)
    pairs = [
        *(pair for of_hash in members for pair in combinations(of_hash[:MOST_OF_A_HASH], 2)),
        *((of_hash[0], other) for of_hash in members for other in of_hash[MOST_OF_A_HASH:]),
        *(
            pair
            for first, second in close_pairs(values, most)
            for pair in product(members[first][:MOST_OF_A_PAIR], members[second][:MOST_OF_A_PAIR])
        ),
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def confirmed(pairs: np.ndarray, paths: list[Path], checks: Checks, seed: int) -> np.ndarray:
    """Keep the pairs whose pixels show the same.

    What all images of the set have in common says nothing: it is taken out, as principal components of some of them,
    and the rest of both must agree. Of images that may be copies one stands for all, or they would be taken for what
    is common.

    Args:
        pairs: Row numbers, of shape (pairs, 2).
        paths: The file of each row, all of them readable.
        checks: What decoding an image may take.
        seed: Seed of the images that stand for the set.

    Returns:
        The pairs that are left.
    """
    if not len(pairs):
        return pairs
    rows = np.unique(pairs)
    _, different = np.unique(_components(pairs, len(paths)), return_index=True)
    sample = np.random.default_rng(seed).permutation(different)[:SAMPLED_IMAGES]
    shown = thumbnails([paths[row] for row in [*sample, *rows]], checks)
    patterns = max(1, len(sample) // IMAGES_A_PATTERN)
    common = PCA(patterns, svd_solver="randomized", random_state=seed).fit(shown[: len(sample)])
    small = shown[len(sample) :]
    own = dict(zip(rows, small - common.inverse_transform(common.transform(small)), strict=True))
    alike = [_correlation(own[first], own[second]) >= LEAST_CORRELATION for first, second in pairs]
    return pairs[np.array(alike, bool)]


def thumbnails(paths: list[Path], checks: Checks) -> np.ndarray:
    """Return what images are compared on: float32 array of shape (images, 64 * 64), zeros where decoding failed."""
    draw = partial(thumbnail, max_pixels=checks.most_pixels)
    shown = run_isolated(draw, paths, seconds=checks.seconds_per_image, gigabytes=checks.worker_gb)
    nothing = np.zeros(COMPARED_SIZE**2, np.float32)
    return np.stack([nothing if isinstance(one, Failure) else one for one in shown])


def thumbnail(path: Path, *, max_pixels: int) -> np.ndarray:
    """Return the grey levels of a small square version of an image, of mean 0 and norm 1."""
    rgb = decoding.open_image(path, max_pixels=max_pixels).rgb
    size = (COMPARED_SIZE, COMPARED_SIZE)
    grey = np.asarray(rgb.convert("L").resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0), np.float32).ravel()
    grey = grey - grey.mean()
    return grey / max(float(np.linalg.norm(grey)), 1e-6)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / size) if size else 0.0


def clusters(rows: pd.DataFrame, near: np.ndarray) -> np.ndarray:
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
    return pd.factorize(_components(np.concatenate(ties), count))[0]


def _components(pairs: np.ndarray, count: int) -> np.ndarray:
    """Number the groups that pairs hold together, of so many things."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]
