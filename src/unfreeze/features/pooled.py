"""Pooled features: one vector an image, averaged from stored activations, with what probes need of the image."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from unfreeze.features import cache
from unfreeze.features.cache import Features
from unfreeze.images import store
from unfreeze.paths import Paths


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
    """

    vectors: np.ndarray
    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    classes: list[str]
    position: int

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
    rows = np.concatenate([train, plan.val.images])
    ids = np.array(images.ids, dtype=object)[rows]
    clusters = pd.read_parquet(paths.manifest, columns=["path", "cluster"]).set_index("path")["cluster"]
    return Pooled(
        vectors=pool_features(cached),
        ids=ids,
        labels=images.labels[rows],
        groups=clusters.loc[ids].to_numpy(),
        folds=np.repeat(cache.FOLDS, [len(train), len(plan.val)]),
        classes=images.classes,
        position=plan.position,
    )


def pool_features(cached: Features) -> np.ndarray:
    """Return one vector an image: activations averaged over height and width.

    Args:
        cached: Stored activations of shape (height, width, channels); of several views the first is taken.

    Returns:
        float32 array of shape (images, channels), training images first.
    """
    vectors = [average_places(batch) for batch in cached.iterate_batches()]
    train = len(cached.plan.train)
    rows = np.concatenate(vectors)
    return np.concatenate([rows[: train // cached.plan.settings.augment.views], rows[train:]])


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
