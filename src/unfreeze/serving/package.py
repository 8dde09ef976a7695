"""Packs a trained model with all that its use needs; with `cached_answers`, what loads TensorFlow here."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation.scores import require_probabilities
from unfreeze.images import jpeg, store
from unfreeze.images.store import Images
from unfreeze.records.packed_model import FORMAT, Example, PackedModel, Unlike, Unsure
from unfreeze.runtime import console
from unfreeze.serving import abstention
from unfreeze.serving.abstention import NEIGHBOURS, Vectors
from unfreeze.serving.classifier import EXAMPLE, MODEL, NETWORK, REFERENCE, WEIGHTS
from unfreeze.serving.network import FEATURES, PROBABILITIES, Network
from unfreeze.serving.reference import Reference
from unfreeze.settings.study import Serve
from unfreeze.settings.training import Extract

if TYPE_CHECKING:
    from unfreeze.serving.cached_answers import Cached, CachedFold

PICTURE_SIDE = 96
# Of features from stored activations to those from pixels, as a cosine distance: half precision leaves a hundredth of
# it, and loses what is smaller than 1e-7.
LARGEST_DISTANCE = 1e-3


@dataclass(frozen=True)
class Source:
    """What a package is made of.

    Args:
        model: The `.keras` file.
        images: The image store.
        folds: The split: `id` and `fold` of each image.
        backbone: Name of the backbone.
        temperature: By which the model divides its logits.
        max_pixels: Most pixels of an image file.
        seed: Seed of the choice of reference images.
        cached: Activations of training and validation images; None to run the whole model over these.
    """

    model: Path
    images: Path
    folds: pd.DataFrame
    backbone: str
    temperature: float
    max_pixels: int
    seed: int
    cached: "Cached | None" = None


class Runs(Protocol):
    """A network that takes batches of pixels."""

    @property
    def batch_size(self) -> int:
        """Most rows a batch."""

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield probabilities and features of batches, as `Network.run` does."""


@dataclass(frozen=True)
class Output:
    """What the network gives for a fold: rows of the store, probabilities and features."""

    rows: np.ndarray
    probabilities: np.ndarray
    features: Vectors


def pack(source: Source, folder: Path, settings: Serve, extract: Extract) -> PackedModel:
    """Convert a model for OpenVINO, find its thresholds on held-back images, and write all of it into a folder.

    Args:
        source: The model and the images.
        folder: The package; an old one is replaced.
        settings: Error rates, and how many training images to keep.
        extract: Precision and batch size.

    Returns:
        What the package says of itself.

    Raises:
        UnfreezeError: OpenVINO cannot convert the model, or it gives no probabilities.
    """
    images = store.describe(source.images)
    with files.atomic(folder) as partial:
        partial.mkdir()
        convert(source.model, partial / NETWORK)
        network = Network(partial / NETWORK, batch_size=extract.batch_size, precision=extract.whole_precision)
        train = choose_reference(images.find_rows(source.folds, "train"), settings.reference_images, source.seed)
        cached = open_cached(network, source, images, extract)
        what = f"{source.backbone}: training images to compare with"
        reference = collect(answer(network, source.images, train, cached.get("train")), train, what)
        # The held-back images that neither the weights nor the thresholds below were fitted to.
        val, what = images.find_rows(source.folds, "val"), f"{source.backbone}: held-back images"
        held_back = collect(answer(network, source.images, val, cached.get("val")), val, what)
        calibration = images.find_rows(source.folds, "calibration")
        scores = score_calibration(network, source, images, calibration)
        write_reference(partial / REFERENCE, source, images, reference, scores)
        model = PackedModel(
            format=FORMAT,
            unfreeze=version("unfreeze"),
            backbone=source.backbone,
            classes=tuple(images.classes),
            size=images.size,
            resize=images.resize,
            max_pixels=source.max_pixels,
            temperature=source.temperature,
            precision=extract.whole_precision,
            unsure=find_unsure(held_back, images.labels, settings.error_rate),
            unlike=find_unlike(reference.features, held_back.features, settings.false_alarms),
            calibration_images=len(calibration),
            example=write_example(partial / EXAMPLE, source.images, network, val),
            model_sha256=files.hash_file(source.model),
            network_sha256=files.hash_file(partial / WEIGHTS),
            data_sha256=images.manifest_sha256,
        )
        model.write(partial / MODEL)
    return model


def convert(model: Path, target: Path) -> None:
    """Convert a `.keras` file to OpenVINO's format, in float32, with the pooled features as a second output.

    Args:
        model: From pixels to probabilities.
        target: model.xml; the weights go beside it.
    """
    from unfreeze.models import engine

    converted = engine.convert(load_with_features(model))
    for output, name in zip(converted.outputs, (PROBABILITIES, FEATURES), strict=True):
        output.get_tensor().set_names({name})
    save_network(converted, target)


def save_network(network: Any, target: Path) -> None:
    """Write a network of OpenVINO's in the precision that it has; equal networks give equal bytes.

    Args:
        network: The network.
        target: model.xml; the weights go beside it.
    """
    import openvino

    # OpenVINO numbers operations from the beginning of the process on.
    for number, operation in enumerate(network.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
    # OpenVINO halves weights unless it is told not to.
    openvino.save_model(network, target, compress_to_fp16=False)


def load_with_features(model: Path) -> Any:
    """Return the Keras model of a `.keras` file, with two outputs: probabilities and pooled features.

    Args:
        model: From pixels to probabilities.
    """
    import keras

    from unfreeze.models.backbone import add_features

    return add_features(keras.models.load_model(model, compile=False))


def choose_reference(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return the training images to compare with, ascending: all of them, or so many of a random order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def open_cached(network: Runs, source: Source, images: Images, extract: Extract) -> "dict[str, CachedFold]":
    """Return folds whose activations are stored, by name; none where these do not give what the network gives.

    Args:
        network: From pixels.
        source: The model, the images and the activations.
        images: What the image store says of itself.
        extract: Engine, precision and batch size.
    """
    from unfreeze.serving.cached_answers import open_folds

    folds = open_folds(source.model, source.cached, images, extract) if source.cached else {}
    if not folds:
        return {}
    some = images.find_rows(source.folds, "val")[: network.batch_size]
    exact, found = (
        np.concatenate([features for _, features in answer(network, source.images, some, cached)])
        for cached in (None, folds["val"])
    )
    cosines = np.sum(abstention.divide(exact).directions * abstention.divide(found).directions, axis=1)
    if cosines.min() >= 1 - LARGEST_DISTANCE:
        return folds
    console.log.info(
        "%s: the whole model is run, as its activations are too small for %s", source.backbone, extract.dtype
    )
    return {}


def answer(
    network: Runs, images: Path, rows: np.ndarray, cached: "CachedFold | None" = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return probabilities and features of rows of the store, some at a time.

    Args:
        network: A network, in OpenVINO's or another format.
        images: The image store.
        rows: Rows, ascending.
        cached: What holds their activations, so that the network need not run from pixels.
    """
    if cached:
        return cached.run(rows)
    return network.run(store.read_batches(images, rows, network.batch_size))


def run(network: Runs, images: Path, rows: np.ndarray, what: str) -> Output:
    """Run the network over rows of the store.

    Args:
        network: A network, in OpenVINO's or another format.
        images: The image store.
        rows: Rows, ascending, at least one.
        what: What is run, for the progress shown and for errors.
    """
    return collect(answer(network, images, rows), rows, what)


def collect(answers: Iterator[tuple[np.ndarray, np.ndarray]], rows: np.ndarray, what: str) -> Output:
    """Return what comes from `answer` as a whole.

    Args:
        answers: Probabilities and features, at least one.
        rows: Rows of the store that they are of.
        what: What is run, for the progress shown and for errors.
    """
    probabilities, features = [], []
    with console.progress(what, len(rows)) as advance:
        for some, channels in answers:
            probabilities.append(some)
            features.append(channels)
            advance(len(some))
    whole = np.concatenate(probabilities)
    require_probabilities(whole, what)
    return Output(rows, whole, abstention.divide(np.concatenate(features)))


def score_calibration(network: Network, source: Source, images: Images, rows: np.ndarray) -> np.ndarray:
    """Return one minus the probability of the right class, ascending, for each image of the calibration fold."""
    if not len(rows):
        return np.zeros(0)
    said = run(network, source.images, rows, f"{source.backbone}: calibration images").probabilities
    return np.sort(1 - said[np.arange(len(rows)), images.labels[rows]])


def find_unsure(held_back: Output, labels: np.ndarray, error_rate: float) -> Unsure:
    """Return the threshold on the probability of the predicted class."""
    confidence = held_back.probabilities.max(axis=1)
    correct = held_back.probabilities.argmax(axis=1) == labels[held_back.rows]
    lowest = abstention.find_lowest_confidence(confidence, correct, error_rate)
    return Unsure(
        lowest=lowest,
        error_rate=error_rate,
        accepted=float((confidence >= lowest).mean()),
        images=len(correct),
    )


def find_unlike(reference: Vectors, held_back: Vectors, false_alarms: float) -> Unlike:
    """Return the thresholds on the distances to the training images."""
    # Compared as they are stored.
    stored = Vectors(reference.directions.astype(np.float16).astype(np.float32), reference.lengths)
    cosine, euclidean = abstention.find_limits(abstention.find_nearest(stored, held_back), false_alarms)
    return Unlike(
        cosine=cosine,
        euclidean=euclidean,
        false_alarms=false_alarms,
        neighbours=min(NEIGHBOURS, len(reference.lengths)),
        images=len(held_back.lengths),
    )


def write_reference(path: Path, source: Source, images: Images, reference: Output, scores: np.ndarray) -> None:
    """Write features and pictures of the reference images, and the scores of the calibration fold."""
    pictures = (
        jpeg.encode(picture, side=PICTURE_SIDE)
        for batch in store.read_batches(source.images, reference.rows, store.BLOCK)
        for picture in batch
    )
    ids = [images.ids[row] for row in reference.rows]
    features = reference.features
    Reference(
        features.directions, features.lengths, ids, images.labels[reference.rows], list(pictures), scores
    ).write(path)


def write_example(path: Path, images: Path, network: Runs, held_back: np.ndarray) -> Example:
    """Write the first held-back image, and return it with the network's probabilities."""
    if not len(held_back):
        raise UnfreezeError("there is no held-back image to pack a model with: give split.val a share")
    pixels = store.read_pixels(images, held_back[:1])
    with files.atomic(path) as partial:
        Image.fromarray(pixels[0]).save(partial)
    ((probabilities, _),) = network.run([pixels])
    return Example(file=path.name, probabilities=tuple(probabilities[0].tolist()))
