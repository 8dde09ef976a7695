"""Packs a trained model with all that its use needs; loads TensorFlow, which using a package does not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from unfreeze import files
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
    from unfreeze.serving.cached_answers import ActivationSource, CachedAnswers

PICTURE_SIDE = 96
# Between answers from activations and those from pixels: cosine distance of features, their lengths as a share, and
# probabilities. float16 rounds by 5e-4, and sets what is below 6e-8 to zero.
LARGEST_DIFFERENCES = {"cosine": 1e-4, "length": 0.01, "probability": 0.01}


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
        activations: Those of training and validation images; None to run the whole model over these.
    """

    model: Path
    images: Path
    folds: pd.DataFrame
    backbone: str
    temperature: float
    max_pixels: int
    seed: int
    activations: "ActivationSource | None" = None


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
    from unfreeze.models import keras_file

    images = store.describe(source.images)
    with files.atomic(folder) as partial:
        partial.mkdir()
        keras_model = keras_file.load(source.model)
        convert(keras_model, partial / NETWORK)
        network = Network(partial / NETWORK, batch_size=extract.batch_size, precision=extract.whole_precision)
        train = choose_reference(images.find_rows(source.folds, "train"), settings.reference_images, source.seed)
        # The held-back images that neither the weights nor the thresholds below were fitted to.
        val = images.find_rows(source.folds, "val")
        cached = open_cached(network, keras_model, source, val, extract)

        def answer(rows: np.ndarray, what: str) -> Output:
            what = f"{source.backbone}: {what}"
            return join(cached.run(rows), rows, what) if cached else run(network, source.images, rows, what)

        reference = answer(train, "training images to compare with")
        held_back = answer(val, "held-back images")
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


def convert(model: Any, target: Path) -> None:
    """Convert a Keras model to OpenVINO's format, in float32, with the pooled features as a second output.

    Args:
        model: From pixels to probabilities.
        target: model.xml; the weights go beside it.
    """
    from unfreeze.models import engine
    from unfreeze.models.backbone import add_features

    converted = engine.convert(add_features(model))
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


def choose_reference(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return the training images to compare with, ascending: all of them, or so many of a random order."""
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def open_cached(
    network: Runs, model: Any, source: Source, val: np.ndarray, extract: Extract
) -> "CachedAnswers | None":
    """Return what answers from activations; None where the whole network has to run.

    Some validation images are run both ways: half precision can lose activations that are very small.

    Args:
        network: From pixels.
        model: The Keras model that it was converted from.
        source: The images and the activations.
        val: Rows of the validation fold, ascending, at least one.
        extract: Engine, precision and batch size.
    """
    from unfreeze.serving.cached_answers import open_answers

    cached = open_answers(model, source.activations, source.images, extract) if source.activations else None
    if cached is None:
        return None
    some = val[np.linspace(0, len(val) - 1, min(len(val), network.batch_size)).astype(int)]
    exact, found = (
        join(answers, some, source.backbone)
        for answers in (network.run(store.read_batches(source.images, some, network.batch_size)), cached.run(some))
    )
    cosines = np.sum(exact.features.directions * found.features.directions, axis=1)
    lengths = np.abs(exact.features.lengths / np.maximum(found.features.lengths, 1e-30) - 1)
    probabilities = np.abs(exact.probabilities - found.probabilities)
    off = {"cosine": (1 - cosines).max(), "length": lengths.max(), "probability": probabilities.max()}
    if all(off[name] <= most for name, most in LARGEST_DIFFERENCES.items()):
        return cached
    said = ", ".join(f"{name} {value:.1g}" for name, value in off.items())
    console.log.info(
        "%s: all layers run over the images to compare with: from activations answers are off by %s",
        source.backbone,
        said,
    )
    return None


def run(network: Runs, images: Path, rows: np.ndarray, what: str) -> Output:
    """Run the network over rows of the store.

    Args:
        network: A network, in OpenVINO's or another format.
        images: The image store.
        rows: Rows, ascending, at least one.
        what: What is run, for the progress shown and for errors.
    """
    return join(network.run(store.read_batches(images, rows, network.batch_size)), rows, what)


def join(answers: Iterator[tuple[np.ndarray, np.ndarray]], rows: np.ndarray, what: str) -> Output:
    """Join batches of probabilities and features into one output.

    Args:
        answers: The batches, at least one.
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
    pixels = store.read_pixels(images, held_back[:1])
    with files.atomic(path) as partial:
        Image.fromarray(pixels[0]).save(partial)
    ((probabilities, _),) = network.run([pixels])
    return Example(file=path.name, probabilities=tuple(probabilities[0].tolist()))
