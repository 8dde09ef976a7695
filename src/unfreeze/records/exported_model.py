"""What an exported model says of itself, and how the exported formats of a backbone compare."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unfreeze.paths import Paths
from unfreeze.records.packed_model import Unlike, Unsure
from unfreeze.records.record import Record
from unfreeze.records.test_scores import Evaluation
from unfreeze.records.verdict import Pair


class TensorParity(Record):
    """The artefact against the `.keras` file, on pixels of validation images.

    Args:
        images: How many.
        difference: Largest difference between two probabilities.
        tolerance: Largest difference that passes; None for a format that rounds on purpose.
    """

    images: int
    difference: float
    tolerance: float | None


class ScoreParity(Record):
    """The artefact against the packed model, on the whole validation fold.

    Args:
        images: How many.
        accuracy: Of the artefact.
        packed_accuracy: Of the packed model.
        pair: The exact McNemar test of the two; the packed model comes first.
        max_drop: Largest loss of accuracy that passes.
    """

    images: int
    accuracy: float
    packed_accuracy: float
    pair: Pair
    max_drop: float


class FileParity(Record):
    """`predict.py` in an environment of its own against this project, on image files of the validation fold.

    Args:
        files: How many.
        difference: Largest difference between two probabilities.
        tolerance: Largest difference that passes.
        packages: Versions by name of all packages in that environment.
    """

    files: int
    difference: float
    tolerance: float
    packages: dict[str, str]


class Parity(Record):
    """The three gates that an export has passed."""

    tensors: TensorParity
    scores: ScoreParity
    files: FileParity


class ExportedModel(Record):
    """The content of an exported folder's model.json; its predict.py reads it.

    Args:
        format: Name of the format.
        unfreeze: Version of this project that wrote it.
        backbone: Name of the backbone.
        classes: Class names by number.
        size: Side of the square that the network takes, pixels.
        resize: How an image becomes that square.
        image_formats: Pillow's names of the formats that are read.
        max_pixels: Most pixels of an image file, width times height.
        temperature: By which the network's last layer divides logits already.
        unsure: The first reason to reject an answer.
        unlike: The second one; distances are those to the rows of reference.npy.
        requirements: Packages that predict.py imports, with their versions.
        model_sha256: Digest of the `.keras` file.
        data_sha256: Digest of the table of images that it was trained on.
        artefact_sha256: Digests of the other files, by name.
        parity: What was compared before the folder got its name.
    """

    format: str
    unfreeze: str
    backbone: str
    classes: tuple[str, ...]
    size: int
    resize: str
    image_formats: tuple[str, ...]
    max_pixels: int
    temperature: float
    unsure: Unsure
    unlike: Unlike
    requirements: tuple[str, ...]
    model_sha256: str
    data_sha256: str
    artefact_sha256: dict[str, str]
    parity: Parity | None = None


class Export(Record):
    """A row of the table of formats.

    Args:
        format: Name of the format.
        megabytes: Size of the artefact, 10^6 bytes.
        latency_ms: Median time for one image, milliseconds.
        images_per_second: In batches, on the machine that exported.
        difference: Largest difference between its probabilities and those of the `.keras` file.
        accuracy: On the validation fold.
        p_value: Of the exact McNemar test against the packed model.
    """

    format: str
    megabytes: float
    latency_ms: float
    images_per_second: float
    difference: float
    accuracy: float
    p_value: float


class Exports(Record):
    """The content of metrics/export/<backbone>.json.

    Args:
        backbone: Name of the backbone.
        model_sha256: Digest of the `.keras` file.
        formats: A row for each format that was exported from this file.
    """

    backbone: str
    model_sha256: str
    formats: tuple[Export, ...]

    def update(self, path: Path) -> "Exports":
        """Return these rows together with those of other formats that a file holds for the same model.

        Args:
            path: The file; it need not be there.
        """
        if not path.exists():
            return self
        before = Exports.read(path)
        if before.model_sha256 != self.model_sha256:
            return self
        rows = {row.format: row for row in (*before.formats, *self.formats)}
        return self.model_copy(update={"formats": tuple(rows[name] for name in sorted(rows))})


@dataclass(frozen=True)
class RecordedExports:
    """The recorded exports of a backbone beside the model that its study scored.

    Args:
        exports: The content of metrics/export/<backbone>.json.
        reported_sha256: Digest of the `.keras` file that was scored on the test fold.
    """

    exports: Exports
    reported_sha256: str

    @property
    def is_current(self) -> bool:
        """Whether the scored model is the one that was exported."""
        return self.exports.model_sha256 == self.reported_sha256


def read_recorded(paths: Paths, backbones: Iterable[str]) -> list[RecordedExports]:
    """Return the recorded exports of those backbones that have any.

    Args:
        paths: The checkout.
        backbones: The study's; each has been evaluated.
    """
    return [
        # Further models that an evaluation names are those of further seeds.
        RecordedExports(
            Exports.read(paths.exports(name)), Evaluation.read(paths.evaluation(name)).test_evaluations[0].model
        )
        for name in backbones
        if paths.exports(name).exists()
    ]
