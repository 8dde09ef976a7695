"""Pooled features: one vector an image, averaged from stored activations, with what probes need of the image."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from unfreeze.features import cache
from unfreeze.features.cache import Features
from unfreeze.images import store
from unfreeze.paths import Paths
from unfreeze.records.test_scores import FeatureSample
from unfreeze.runtime.console import log

# Of more images a sample is read: what is estimated from vectors (labels that look wrong, learning curve, images most
# alike) gains little from more.
MOST_IMAGES = 200_000
# Of vectors: probes take almost four times their memory. 78,125 vectors of Xception, 8 kB each, fill these.
MOST_BYTES = 640_000_000


@dataclass(frozen=True)
class Pooled:
    """Vectors of the training and the validation images; the test fold is left out.

    Args:
        vectors: float32 array of shape (images, channels).
        ids: Each image's path.
        labels: Class numbers.
        groups: Group number of each image; near copies, and images that the source groups, share one.
        folds: `train` or `val`.
        classes: Class names by number.
        position: Where the backbone was cut, as `Backbone.build_part` takes it.
        fold_sizes: The number of images of each fold, of which these may be a sample.
    """

    vectors: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    classes: list[str]
    position: int
    fold_sizes: dict[str, int]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def smallest_class(self) -> int:
        """The number of groups in the class that has the fewest."""
        groups = pd.Series(self.groups).groupby(self.labels).nunique()
        return int(groups.reindex(range(len(self.classes)), fill_value=0).min())

    def take(self, rows: np.ndarray) -> "Pooled":
        """Return a part of the images, by row numbers or by a boolean mask."""
        parts = ("vectors", "ids", "labels", "groups", "folds")
        return replace(self, **{name: getattr(self, name)[rows] for name in parts})

    def take_fold(self, fold: str) -> "Pooled":
        """Return a fold's images."""
        return self.take(self.folds == fold)


def read(paths: Paths, backbone: str, **expected: str) -> Pooled | None:
    """Read a backbone's stored activations and average them over height and width.

    Of more than `MOST_IMAGES` images, or `MOST_BYTES` of vectors, a sample is read, of whole groups, so that copies
    stay together; it depends on the seed of the activations and on the length of a vector alone.

    Args:
        paths: Where the image store, the manifest and the activations lie.
        backbone: The backbone.
        **expected: What the activations must be determined by besides the images, as far as the reader knows.

    Returns:
        Training images first; None where no activations are stored: nothing is frozen, or the disk had no room.

    Raises:
        UnfreezeError: The stored activations are damaged, or were made from something else.
    """
    images = store.describe(paths.images)
    cached = cache.read(paths.features(backbone), {"images": images.digest, **expected})
    plan = cached.plan
    if not plan.position or not plan.stored:
        return None
    train = plan.train.images[: len(plan.train) // plan.settings.augment.views]
    sizes = dict(zip(cache.FOLDS, (len(train), len(plan.val)), strict=True))
    rows = np.concatenate([train, plan.val.images])
    ids = np.array(images.ids, dtype=object)[rows]
    clusters = pd.read_parquet(paths.manifest, columns=["path", "cluster"]).set_index("path")["cluster"]
    groups = clusters.loc[ids].to_numpy()
    kept = draw_groups(groups, min(MOST_IMAGES, MOST_BYTES // (4 * plan.row_shape[-1])), plan.settings.seed)
    if not kept.all():
        log.info("%s: %d of %d images are looked at, a sample of whole groups", backbone, kept.sum(), len(kept))
    return Pooled(
        vectors=pool_features(cached, kept),
        ids=ids[kept],
        labels=images.labels[rows][kept],
        groups=groups[kept],
        folds=np.repeat(cache.FOLDS, list(sizes.values()))[kept],
        classes=images.classes,
        position=plan.position,
        fold_sizes=sizes,
    )


def describe_sample(of_images: Pooled | None) -> FeatureSample | None:
    """Return how many of how many images are looked at; None where all are, or no activations are stored.

    Args:
        of_images: What `read` returned.
    """
    if of_images is None or len(of_images) == (images := sum(of_images.fold_sizes.values())):
        return None
    return FeatureSample(images=len(of_images), of=images)


def draw_groups(groups: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Draw whole groups at random until there are so many images.

    Args:
        groups: Group number of each image.
        most: Most images; one group is drawn even if it has more.
        seed: Seed of the draw.

    Returns:
        Whether each image is drawn, bool array; all are where they are no more than `most`.
    """
    if len(groups) <= most:
        return np.ones(len(groups), bool)
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(sizes))
    drawn = order[: max(1, np.searchsorted(np.cumsum(sizes[order]), most, side="right"))]
    return np.isin(numbers, drawn)


def pool_features(cached: Features, kept: np.ndarray) -> np.ndarray:
    """Return one vector an image: activations averaged over height and width.

    Args:
        cached: Stored activations of shape (height, width, channels); of several views the first is taken.
        kept: Whether each image is wanted, training images first; bool array.

    Returns:
        float32 array of shape (images that are wanted, channels), training images first.
    """
    views = cached.plan.settings.augment.views
    train = len(cached.plan.train) // views
    wanted = np.concatenate([kept[:train], np.zeros(train * (views - 1), bool), kept[train:]])
    # Filled in place: to join the batches at the end would take the memory twice.
    vectors = np.empty((kept.sum(), cached.plan.row_shape[-1]), np.float32)
    start = done = 0
    for batch in cached.iterate_batches():
        some = wanted[start : start + len(batch)]
        start += len(batch)
        if some.any():
            averages = average_places(batch if some.all() else batch[some])
            vectors[done : done + len(averages)] = averages
            done += len(averages)
    return vectors


def average_places(activations: np.ndarray) -> np.ndarray:
    """Average activations over height and width.

    Args:
        activations: Float array of shape (images, height, width, channels).

    Returns:
        float32 array of shape (images, channels).

    >>> average_places(np.array([[[[1.0, 0.0], [3.0, 0.0]]]])).tolist()
    [[2.0, 0.0]]
    """
    places = activations.reshape(len(activations), -1, activations.shape[-1])
    averages: np.ndarray = places.mean(axis=1, dtype=np.float32)
    return averages
