"""A packed model that names the class of images: the same answers for commands, service and MLflow."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.images import decoding
from unfreeze.records.packed_model import FORMAT, PackedModel
from unfreeze.serving import abstention
from unfreeze.serving.abstention import Nearest
from unfreeze.serving.network import Network
from unfreeze.serving.reference import Reference

MODEL, NETWORK, WEIGHTS, REFERENCE, EXAMPLE = "model.json", "model.xml", "model.bin", "reference.npz", "example.png"
# Largest difference between the example's probabilities and those of another machine: instruction sets round
# differently, and a wrong model differs by far more.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}


@dataclass(frozen=True)
class Answers:
    """What a model says of some images.

    Args:
        probabilities: Calibrated, float64 of shape (images, classes); rows add up to 1.
        nearest: The training images most alike.
        unlikeness: How unlike the training images each image is, as a multiple of what is accepted; shape (images,).
        reasons: Why each answer is not accepted; empty where it is.
    """

    probabilities: np.ndarray
    nearest: Nearest
    unlikeness: np.ndarray
    reasons: list[str]

    def __len__(self) -> int:
        return len(self.reasons)


class Classifier:
    """A packed model, loaded.

    Args:
        folder: The package, as `serving/package.py` writes it.
        batch_size: Images a call of the network.
        hint: What OpenVINO is set up for.

    Raises:
        UnfreezeError: The package is missing, damaged or of another version.
    """

    def __init__(
        self, folder: Path, *, batch_size: int = 8, hint: Literal["throughput", "latency"] = "throughput"
    ) -> None:
        self.folder = folder
        self.model = read_model(folder)
        self.batch_size = batch_size
        self.network = Network(folder / NETWORK, batch_size=batch_size, precision=self.model.precision, hint=hint)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by number."""
        return self.model.classes

    @functools.cached_property
    def reference(self) -> Reference:
        """The training images to compare with; read when first needed."""
        return Reference.read(self.folder / REFERENCE)

    def load(self, path: Path | bytes) -> np.ndarray:
        """Decode an image file to the square that the network takes, as in training.

        Args:
            path: The file, or its bytes.

        Returns:
            uint8 array of shape (size, size, 3).

        Raises:
            Undecodable: It is no image that the pipeline reads.
        """
        return decoding.load_rgb(path, self.model.size, max_pixels=self.model.max_pixels)

    def classify(self, batches: Iterable[np.ndarray]) -> Iterator[Answers]:
        """Yield the answers for batches of images, in order.

        Args:
            batches: uint8 arrays of shape (images, size, size, 3), at most `batch_size` images each.
        """
        for probabilities, features in self.network.run(batches):
            yield self.answer(probabilities, features)

    def answer(self, probabilities: np.ndarray, features: np.ndarray) -> Answers:
        """Return the answers for what the network gave.

        Args:
            probabilities: Shape (images, classes).
            features: Shape (images, channels).
        """
        nearest, unlikeness = self.compare(features)
        reasons = abstention.judge(probabilities, unlikeness, lowest=self.model.unsure.lowest)
        return Answers(probabilities, nearest, unlikeness, reasons)

    def compare(self, features: np.ndarray) -> tuple[Nearest, np.ndarray]:
        """Return the training images most alike, and the unlikeness, as in `Answers`.

        Args:
            features: Shape (images, channels).
        """
        limits = self.model.unlike
        nearest = abstention.find_nearest(self.reference.vectors, abstention.divide(features), limits.neighbours)
        return nearest, abstention.measure_unlikeness(nearest, cosine=limits.cosine, euclidean=limits.euclidean)

    def try_example(self) -> None:
        """Run the package's example.

        Raises:
            UnfreezeError: The probabilities are not those that were recorded when the model was packed.
        """
        pixels = np.asarray(Image.open(self.folder / self.model.example.file).convert("RGB"))
        (answers,) = self.classify([pixels[None]])
        off = float(np.abs(answers.probabilities[0] - self.model.example.probabilities).max())
        if not off <= TOLERANCE[self.model.precision]:
            raise UnfreezeError(
                f"{self.folder}: the probabilities of its example are {off:.2g} off the recorded ones: "
                "its files do not belong together; `dvc repro` packs it again"
            )


def read_model(folder: Path) -> PackedModel:
    """Read what a packed model says of itself, and find out whether its files are there.

    Args:
        folder: The package.

    Raises:
        UnfreezeError: A file is missing, or another version wrote it.
    """
    missing = [name for name in (MODEL, NETWORK, WEIGHTS, REFERENCE, EXAMPLE) if not (folder / name).exists()]
    if missing:
        raise UnfreezeError(
            f"{folder} is no packed model, it lacks {', '.join(missing)}: `dvc repro` packs the models"
        )
    found = files.read_json(folder / MODEL).get("format")
    if found != FORMAT:
        raise UnfreezeError(
            f"{folder} was packed by another version of unfreeze (form {found}, this one reads {FORMAT}): "
            "pack it again with `dvc repro`, or use the version that model.json names"
        )
    return PackedModel.read(folder / MODEL)
