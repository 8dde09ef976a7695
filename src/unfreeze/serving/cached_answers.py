"""A trained model's answers for training and validation images, from what its frozen layers gave before."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from unfreeze import files
from unfreeze.features import cache
from unfreeze.features.cache import Rows
from unfreeze.images.store import Images
from unfreeze.models.backbone import Backbone, join_features, take_apart
from unfreeze.models.engine import Engine, make_engine
from unfreeze.models.table import find_row
from unfreeze.settings.base import PixelScaling
from unfreeze.settings.training import Extract


@dataclass(frozen=True)
class Cached:
    """Where activations are, and what they must come from.

    Args:
        features: The cache of activations.
        weights: The pretrained `.weights.h5` file.
        split: The file that says which images are in each fold.
        backbone: Name of the backbone.
        pixels: How pixels were scaled.
    """

    features: Path
    weights: Path
    split: Path
    backbone: str
    pixels: PixelScaling


@dataclass(frozen=True)
class CachedFold:
    """The activations of a fold, and what runs the layers behind them.

    Args:
        images: Row of each image in the image store, ascending.
        rows: The activations, in the same order.
        engine: From activations to probabilities and pooled features in one row.
        classes: Number of classes.
    """

    images: np.ndarray
    rows: Rows
    engine: Engine
    classes: int

    def run(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield probabilities and features of images, some at a time, as `Network.run` does.

        Args:
            rows: Rows of the image store, of images of the fold.
        """
        order = np.searchsorted(self.images, rows)
        for said in self.engine.run(self.rows.stored.read_batches(order, self.engine.batch_size)):
            probabilities = said[:, : self.classes].astype("float64")
            yield probabilities / probabilities.sum(axis=1, keepdims=True), said[:, self.classes :]


def open_folds(model: Path, source: Cached, images: Images, extract: Extract) -> dict[str, CachedFold]:
    """Return the training and the validation fold by name; none where the model has to run from pixels.

    It has to where no activations are stored, where layers before them were trained, and where these ran in 8 bits,
    which rounds more than the model does.

    Args:
        model: The trained `.keras` file.
        source: The activations.
        images: What the image store says of itself.
        extract: Engine, precision and batch size.
    """
    digests = {"weights": files.hash_file(source.weights), "split": files.hash_file(source.split)}
    found = cache.read(source.features, {"images": images.digest, "pixels": source.pixels, **digests})
    plan = found.plan
    if not plan.position or found.train is None or found.val is None or plan.settings.extract.precision == "int8":
        return {}
    backbone = Backbone(find_row(source.backbone), images.size, source.pixels)
    backbone.load_weights(source.weights)
    whole = keras.models.load_model(model, compile=False)
    trained, head = take_apart(whole)
    for before, after in zip(backbone.base.operations, trained.operations[: plan.position + 1], strict=False):
        if not all(map(np.array_equal, _read_weights(before), _read_weights(after))):
            return {}
    backbone.base.set_weights(trained.get_weights())
    part = backbone.build_part(plan.position, backbone.end)
    engine = make_engine(join_features(keras.Model(part.input, head(part.output))), extract)
    # The first view of an image is the image as it is.
    originals = len(plan.train) // plan.settings.augment.views
    return {
        "train": CachedFold(plan.train.images[:originals], found.train, engine, len(images.classes)),
        "val": CachedFold(plan.val.images, found.val, engine, len(images.classes)),
    }


def _read_weights(operation: object) -> list[np.ndarray]:
    return operation.get_weights() if isinstance(operation, keras.Layer) else []
