"""Close pairs among millions of perceptual hashes, of which only those that nearly agree in 16 bits are compared."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from unfreeze.checks.components import number_components

BANDS, BAND_BITS = 4, 16
# Pairs that are compared in one step: they and their hashes fit into a processor's cache.
PAIRS_AT_ONCE = 100_000
# Close hashes that each one is paired with. Where a set has more, as frames of one camera, a further pair is kept
# only if it links two groups that nothing linked before.
MOST_CLOSE = 8


def find_close_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
    """Find pairs of hashes that differ in at most some bits.

    Of four bands of 16 bits, two hashes of a pair differ in one by at most a quarter of the bits in which they
    differ. So the hashes are put into buckets by each band, and compared with those of the buckets so near
    (multi-index hashing: Norouzi, Punjani and Fleet 2012, "Fast search in Hamming space with multi-index hashing").

    Args:
        hashes: uint64 array of different hashes.
        distance: Most bits in which two differ, below 64.

    Returns:
        int64 array of shape (pairs, 2): positions, the smaller first, sorted.
    """
    kept = _Pairs(len(hashes))
    masks = [
        sum(1 << bit for bit in bits)
        for count in range(distance // BANDS + 1)
        for bits in combinations(range(BAND_BITS), count)
    ]
    for band in range(BANDS):
        keys = ((hashes >> np.uint64(band * BAND_BITS)) & np.uint64((1 << BAND_BITS) - 1)).astype(np.int64)
        order = np.argsort(keys, kind="stable")
        ordered, keys = hashes[order], keys[order]
        starts = np.searchsorted(keys, np.arange((1 << BAND_BITS) + 1))
        for mask in masks:
            for first, second in _list_candidates(keys, starts, mask):
                close = np.bitwise_count(ordered[first] ^ ordered[second]) <= distance
                kept.add(np.sort(order[np.stack([first[close], second[close]], axis=1)], axis=1))
    return kept.collect()


def _list_candidates(keys: np.ndarray, starts: np.ndarray, mask: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield places of hashes whose keys differ by a mask, some pairs at a time.

    Args:
        keys: Keys in ascending order.
        starts: For each key the first place that has it.
        mask: Bits in which the keys differ; for 0 each pair of one key comes once.
    """
    places = np.arange(len(keys))
    others = keys ^ mask
    begins = np.maximum(starts[others], places + 1) if not mask else starts[others]
    # Of two buckets the one with the smaller key looks at the other.
    counts = np.where(others >= keys, np.maximum(starts[others + 1] - begins, 0), 0)
    ends = np.cumsum(counts)
    start = 0
    while start < len(keys):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + PAIRS_AT_ONCE, "right")), start + 1)
        of_each = counts[start:stop]
        first = np.repeat(places[start:stop], of_each)
        within = np.arange(len(first)) - np.repeat(ends[start:stop] - of_each - before, of_each)
        yield first, np.repeat(begins[start:stop], of_each) + within
        start = stop


class _Pairs:
    """Pairs of hashes, of which each hash has as many as link it to all that are close to it.

    Args:
        hashes: Number of hashes.
    """

    def __init__(self, hashes: int) -> None:
        self._counts = np.zeros(hashes, np.int64)
        self._found = [np.empty((0, 2), np.int64)]

    def add(self, pairs: np.ndarray) -> None:
        """Take pairs, unless they link what has links enough."""
        if not len(pairs):
            return
        pairs = np.unique(pairs, axis=0)
        ranks = [self._counts[side] + _rank(side) for side in pairs.T]
        needed = np.minimum(*ranks) < MOST_CLOSE
        if not needed.all():
            needed |= self._links_groups(pairs, needed)
        self._found.append(pairs[needed])
        self._counts += np.bincount(pairs[needed].ravel(), minlength=len(self._counts))

    def collect(self) -> np.ndarray:
        """Return the pairs, sorted, each once."""
        return np.unique(np.concatenate(self._found), axis=0)

    def _links_groups(self, pairs: np.ndarray, needed: np.ndarray) -> np.ndarray:
        """Tell which pairs, a few of each two groups, link groups that the needed ones and those of before do not."""
        known = np.concatenate([*self._found, pairs[needed]])
        size = len(self._counts)
        groups = np.sort(number_components(known, size)[pairs].astype(np.int64), axis=1)
        is_among_first = _rank(groups[:, 0] * size + groups[:, 1]) < MOST_CLOSE
        return np.asarray((groups[:, 0] != groups[:, 1]) & is_among_first)


def _rank(values: np.ndarray) -> np.ndarray:
    """Return for each value how many equal ones come before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))
    return ranks
