"""Copies of one image: exact ones by their pixels, near ones by perceptual hash, confirmed on the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy.stats import median_abs_deviation
from sklearn.decomposition import PCA

from unfreeze.checks import hash_distances, many_hashes
from unfreeze.checks.components import number_components
from unfreeze.checks.hash_distances import HASH_BITS, choose_unrelated, describe_distances
from unfreeze.checks.thumbnails import SMALLEST_NORM, draw_thumbnails
from unfreeze.images.isolated import ImageFile
from unfreeze.settings.checks import Limits

# Limits of comparisons: images of one hash that are compared with each other, and images a side for two close hashes.
# One motif can have thousands of photographs; copies among them are still linked through these.
MOST_OF_A_HASH = 32
MOST_OF_A_PAIR = 4
# Different hashes from which on another search is used, which takes an eighth of the time for so many, and less for
# more. Below, studies keep the pairs that they had where a set is full of copies.
MANY_HASHES = 50_000
# Images that the principal components are fitted on, and images per component. Components capture what all images
# share, such as the frame and wires of solar cells; one for every 8 images leaves the content of single images.
SAMPLED_IMAGES = 512
IMAGES_A_PATTERN = 8
# With fewer components than that, one would be what tells two of few scenes apart.
LEAST_PATTERNS = 2
# Correlation from which two images show the same. Photographs of cats and dogs: copies of half the size, of 160 px
# or of JPEG quality 30 exceed 0.97, no two other images 0.4. Solar cells: nine of ten copies exceed 0.9.
LEAST_CORRELATION = 0.9
# The same where a set is full of copies, so that many takes of few scenes are likely: frames of a fixed camera of
# which a tenth changes correlate by 0.72 to 0.9. It lies above what unrelated images of the set reach by this many
# standard deviations, estimated from the median absolute deviation: an image chosen by mistake does not move it.
LEAST_OF_FRAMES = 0.75
DEVIATIONS = 5
# Pairs whose images are in memory at once: about 100 MB at most.
PAIRS_AT_ONCE = 1024


def find_near_copies(
    rows: pd.DataFrame, paths: Sequence[ImageFile], distance: int | str, limits: Limits, seed: int
) -> np.ndarray:
    """Find pairs of different images that show the same.

    Args:
        rows: `pixels_sha256` and `perceptual_hash` (16 hexadecimal digits) of readable images.
        paths: The file of each row.
        distance: Most bits in which hashes differ; `auto` calibrates it on the set.
        limits: Most pixels, memory and time that an image may take.
        seed: Seed of what is sampled.

    Returns:
        int64 array of shape (pairs, 2): row numbers.
    """
    different = rows.reset_index(drop=True).drop_duplicates("pixels_sha256")
    hashes = different["perceptual_hash"].map(lambda text: int(text, 16)).to_numpy(np.uint64)
    numbers = different.index.to_numpy(np.int64)
    distances = describe_distances(hashes, seed)
    pairs = find_candidates(hashes, numbers, distances.limit if distance == "auto" else int(distance))
    if not len(pairs):
        return pairs
    if distances.many_copies:
        # Candidates may link unrelated images where all is full of copies: hashes that are far apart do not.
        apart = distances.unrelated or HASH_BITS
        unrelated = numbers[choose_unrelated(hashes, apart, SAMPLED_IMAGES, seed)]
    else:
        # One image of each candidate group: many copies of one image would become a component themselves.
        components = number_components(pairs, len(paths))
        _, first = np.unique(components, return_index=True)
        unrelated = np.random.default_rng(seed).permutation(first)[:SAMPLED_IMAGES]
    shown = draw_thumbnails([paths[row] for row in unrelated], limits)
    common = Common.learn(shown, seed, many_copies=distances.many_copies)
    return confirm_pairs(pairs, paths, common, limits)


def find_candidates(hashes: np.ndarray, numbers: np.ndarray, distance: int) -> np.ndarray:
    """Return pairs of images whose perceptual hashes are close.

    Args:
        hashes: uint64 array, one perceptual hash an image.
        numbers: int64 array: the row number of each image.
        distance: Most bits in which hashes differ.

    Returns:
        int64 array of shape (pairs, 2): row numbers.
    """
    values, inverse = np.unique(hashes, return_inverse=True)
    search = many_hashes if len(values) > MANY_HASHES else hash_distances
    members = np.split(numbers[np.argsort(inverse, kind="stable")], np.cumsum(np.bincount(inverse))[:-1])
    pairs = [
        *(pair for of_hash in members for pair in combinations(of_hash[:MOST_OF_A_HASH], 2)),
        *((of_hash[0], other) for of_hash in members for other in of_hash[MOST_OF_A_HASH:]),
        *(
            pair
            for first, second in search.find_close_pairs(values, distance)
            for pair in product(members[first][:MOST_OF_A_PAIR], members[second][:MOST_OF_A_PAIR])
        ),
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Common:
    """What unrelated images of a set have in common, such as the frame and wires of solar cells.

    Args:
        patterns: Fitted principal components; None if there are too few unrelated images to tell.
        correlation: From here on the residuals of two images show the same, 0.75 to 0.9.
    """

    patterns: PCA | None
    correlation: float

    @classmethod
    def learn(cls, shown: np.ndarray, seed: int, *, many_copies: bool) -> "Common":
        """Fit principal components on unrelated images; where copies are many, see how far these images correlate.

        Args:
            shown: Thumbnails of unrelated images, float32 array of shape (images, 64 * 64).
            seed: Seed of the solver.
            many_copies: Whether the set is full of copies.
        """
        patterns = None
        if len(shown) >= LEAST_PATTERNS * IMAGES_A_PATTERN:
            patterns = PCA(len(shown) // IMAGES_A_PATTERN, svd_solver="randomized", random_state=seed).fit(shown)
        common = cls(patterns, LEAST_CORRELATION)
        if not many_copies:
            return common
        own = common.remove(shown)
        among = (own @ own.T)[np.triu_indices(len(own), 1)]
        if not len(among):
            return common
        above = np.median(among) + DEVIATIONS * median_abs_deviation(among, scale="normal")
        return cls(patterns, float(np.clip(above, LEAST_OF_FRAMES, LEAST_CORRELATION)))

    def remove(self, shown: np.ndarray) -> np.ndarray:
        """Return the residuals of thumbnails, each of norm 1.

        Args:
            shown: float32 array of shape (images, 64 * 64).
        """
        own = (
            shown
            if self.patterns is None
            else shown - self.patterns.inverse_transform(self.patterns.transform(shown))
        )
        return np.asarray(own / np.maximum(np.linalg.norm(own, axis=1, keepdims=True), SMALLEST_NORM))


def confirm_pairs(pairs: np.ndarray, paths: Sequence[ImageFile], common: Common, limits: Limits) -> np.ndarray:
    """Keep the pairs whose pixels show the same: without what all images share, they correlate.

    Args:
        pairs: Row numbers, of shape (pairs, 2).
        paths: The file of each row, all of them readable.
        common: What all images of the set share.
        limits: Most pixels, memory and time that an image may take.

    Returns:
        int64 array of shape (pairs kept, 2).
    """
    # Sort pairs by group and then by image, so that few images are decoded twice.
    components = number_components(pairs, len(paths))
    order = np.lexsort((pairs[:, 0], components[pairs[:, 0]]))
    alike = np.empty(len(pairs), bool)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = order[start : start + PAIRS_AT_ONCE]
        rows, places = np.unique(pairs[part], return_inverse=True)
        own = common.remove(draw_thumbnails([paths[row] for row in rows], limits))
        first, second = places.reshape(-1, 2).T
        alike[part] = np.einsum("ij,ij->i", own[first], own[second]) >= common.correlation
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
    return pd.factorize(number_components(np.concatenate(ties), count))[0]
