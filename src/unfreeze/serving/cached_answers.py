"""A trained model's answers for training and validation images, from what its frozen layers gave before."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.features import cache
from unfreeze.features.cache import Features, narrow
from unfreeze.images import store
from unfreeze.models.backbone import Backbone, join_features, take_apart
from unfreeze.models.engine import Engine, make_engine
from unfreeze.models.table import find_row
from unfreeze.runtime.console import log
from unfreeze.serving.network import normalize
from unfreeze.settings.base import PixelScaling
from unfreeze.settings.training import Extract


@dataclass(frozen=True)
class ActivationSource:
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
class CachedAnswers:
    """Runs the layers behind the cut of a model.

    Args:
        read: Yields the activations of images, given their rows in the image store, some at a time.
        engine: From activations to probabilities and pooled features in one row.
        classes: Number of classes.
    """

    read: Callable[[np.ndarray], Iterator[np.ndarray]]
    engine: Engine
    classes: int

    def run(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield probabilities and features, some at a time, as `Network.run` does.

        Args:
            rows: Rows of training and validation images in the image store.
        """
        for said in self.engine.run(self.read(rows)):
            yield normalize(said[:, : self.classes]), said[:, self.classes :]


def open_answers(
    model: keras.Model, source: ActivationSource, images: Path, extract: Extract
) -> CachedAnswers | None:
    """Return the answers of a trained model from activations; None, and it is logged why, if these are not its own.

    They are not where training began before the cut, and where the layers before it ran in 8 bits, which rounds more
    than the model does. Where there was no room for activations they are computed again, to the same bits: answers do
    not depend on the disk.

    Args:
        model: The trained model.
        source: The activations.
        images: The image store.
        extract: Engine, precision and batch size.
    """
    answers = _open(model, source, images, extract)
    if isinstance(answers, CachedAnswers):
        return answers
    log.info("%s: all layers run over the images to compare with: %s", source.backbone, answers)
    return None


def _open(model: keras.Model, source: ActivationSource, images: Path, extract: Extract) -> CachedAnswers | str:
    """Return the answers, or why there are none."""
    described = store.describe(images)
    digests = {"weights": files.hash_file(source.weights), "split": files.hash_file(source.split)}
    found = cache.read(source.features, {"images": described.digest, "pixels": source.pixels, **digests})
    plan = found.plan
    if not plan.position:
        return "training began at the pixels"
    if plan.settings.extract.precision == "int8":
        return "activations are those of 8 bits"
    backbone = Backbone(find_row(source.backbone), described.size, source.pixels)
    backbone.load_weights(source.weights)
    trained, head = take_apart(model)
    for before, after in zip(backbone.base.operations, trained.operations[: plan.position + 1], strict=False):
        if not all(map(np.array_equal, _read_weights(before), _read_weights(after))):
            return f"layers before {backbone.base.operations[plan.position].name} were trained"
    backbone.base.set_weights(trained.get_weights())
    part = backbone.build_part(plan.position, backbone.end)
    engine = make_engine(join_features(keras.Model(part.input, head(part.output))), extract)
    if engine.name != "openvino":
        return f"{engine.name} rounds otherwise than the packed network"
    if found.plan.stored:
        read = _read_stored(found, engine.batch_size)
    else:
        read = _read_computed(make_engine(backbone.build_part(0, plan.position), extract), images, plan.dtype)
    return CachedAnswers(read, engine, len(described.classes))


def _read_stored(features: Features, size: int) -> Callable[[np.ndarray], Iterator[np.ndarray]]:
    plan, stored = features.plan, features.stored
    # The first view of an image is the image as it is; later ones are passed over.
    place_of: dict[int, int] = {}
    for place, row in enumerate([*plan.train.images.tolist(), *plan.val.images.tolist()]):
        place_of.setdefault(row, place)

    def read(rows: np.ndarray) -> Iterator[np.ndarray]:
        missing = [row for row in rows.tolist() if row not in place_of]
        if missing:
            raise UnfreezeError(f"there are no activations of {len(missing)} images: run `dvc repro` again")
        return stored.read_batches([place_of[row] for row in rows.tolist()], size)

    return read


def _read_computed(engine: Engine, images: Path, dtype: str) -> Callable[[np.ndarray], Iterator[np.ndarray]]:
    def read(rows: np.ndarray) -> Iterator[np.ndarray]:
        for computed in engine.run(store.read_batches(images, rows, engine.batch_size)):
            yield narrow(computed, dtype)

    return read


def _read_weights(operation: object) -> list[np.ndarray]:
    return operation.get_weights() if isinstance(operation, keras.Layer) else []
