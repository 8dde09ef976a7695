"""Three gates that an export passes before it gets its name: tensors, scores, and answers from image files.

The reference is the `.keras` file for tensors, and the packed model for scores and files. Only images of the
validation fold are used: the test fold stays unseen.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import pairs
from unfreeze.records.exported_model import FileParity, ScoreParity, TensorParity
from unfreeze.serving.export import environment
from unfreeze.serving.export.program import PREDICT
from unfreeze.serving.export.registry import Format

# Largest difference between two probabilities for one image file, of a float format.
FILE_TOLERANCE = 1e-5
SECONDS = 600


@dataclass(frozen=True)
class Expected:
    """What the model of the study answers.

    Args:
        labels: Class numbers of the validation fold, shape (images,).
        packed: Probabilities of the packed model in float32, shape (images, classes).
        compared: Which of these images the `.keras` file was run on.
        keras: Its probabilities for these.
        files: Image files.
        pixels: Their pixels as the project decodes them: uint8, shape (files, size, size, 3).
        answers: Probabilities of the packed model for these pixels.
    """

    labels: np.ndarray
    packed: np.ndarray
    compared: np.ndarray
    keras: np.ndarray
    files: Sequence[Path]
    pixels: np.ndarray
    answers: np.ndarray


def compare_tensors(name: str, entry: Format, expected: Expected, probabilities: np.ndarray) -> TensorParity:
    """Compare an artefact with the `.keras` file.

    Args:
        name: The model, for errors.
        entry: The format.
        expected: What is right.
        probabilities: Of the artefact for the validation fold, shape (images, classes).

    Raises:
        UnfreezeError: They differ by more than the format's tolerance.
    """
    found = TensorParity(
        images=len(expected.compared),
        difference=_measure_difference(probabilities[expected.compared], expected.keras),
        tolerance=entry.tolerance,
    )
    if found.tolerance is not None and not found.difference <= found.tolerance:
        raise UnfreezeError(
            f"{name} as {entry.name}: on {found.images} validation images its probabilities are up to "
            f"{found.difference:.2g} off those of the .keras file, the limit is {found.tolerance:g}: nothing is kept"
        )
    return found


def compare_scores(
    name: str, entry: Format, expected: Expected, probabilities: np.ndarray, *, max_drop: float, seed: int
) -> ScoreParity:
    """Compare an artefact's accuracy with that of the packed model, on the same images.

    Args:
        name: The model, for errors.
        entry: The format.
        expected: What is right.
        probabilities: Of the artefact for the validation fold, shape (images, classes).
        max_drop: Largest loss of accuracy that passes, a share.
        seed: Of the interval's resamples.

    Raises:
        UnfreezeError: It loses more.
    """
    predicted = {"packed": expected.packed.argmax(axis=1), entry.name: probabilities.argmax(axis=1)}
    (pair,) = pairs.compare_pairs(expected.labels, predicted, seed=seed)
    packed_accuracy, accuracy = (float((numbers == expected.labels).mean()) for numbers in predicted.values())
    found = ScoreParity(
        images=len(expected.labels),
        accuracy=accuracy,
        packed_accuracy=packed_accuracy,
        pair=pair,
        max_drop=max_drop,
    )
    # The share lost, from whole images: a difference of two rounded accuracies may exceed the limit by rounding.
    if (pair.only_first - pair.only_second) / found.images > max_drop:
        raise UnfreezeError(
            f"{name} as {entry.name}: {accuracy:.2%} of {found.images} validation images are right instead of "
            f"{packed_accuracy:.2%} (McNemar: p = {pair.p_value:.2g}), export.max_drop is {max_drop:g}: "
            "nothing is kept; raise it in params.yaml if that is good enough"
        )
    return found


def compare_files(
    name: str, entry: Format, folder: Path, expected: Expected, answers: np.ndarray, packages: Sequence[str]
) -> FileParity:
    """Run predict.py on image files, in an environment that holds its runtime, numpy and Pillow alone.

    Args:
        name: The model, for errors.
        entry: The format.
        folder: The exported folder.
        expected: Which files.
        answers: The right probabilities, shape (files, classes).
        packages: What predict.py imports.

    Raises:
        UnfreezeError: It fails, or its probabilities or classes are others.
    """
    versions = environment.find_packages(packages)
    with tempfile.TemporaryDirectory() as temporary:
        python = environment.make_environment(Path(temporary, "environment"), versions)
        program = (folder / PREDICT).resolve()
        paths = [str(path.resolve()) for path in expected.files]
        done = environment.run_isolated(python, [str(program), "--json", *paths], seconds=SECONDS)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    failure = next((row["error"] for row in said if "error" in row), "")
    if done.returncode or failure or len(said) != len(paths):
        last = failure or (done.stderr.strip().splitlines() or ["it ends early"])[-1]
        raise UnfreezeError(
            f"{name} as {entry.name}: {PREDICT} fails in an environment of its own ({last}): nothing is kept"
        )
    found = np.array([list(row["probabilities"].values()) for row in said])
    difference = _measure_difference(found, answers)
    others = int((found.argmax(axis=1) != answers.argmax(axis=1)).sum())
    if not difference <= FILE_TOLERANCE:
        raise UnfreezeError(
            f"{name} as {entry.name}: {PREDICT} answers {len(paths)} image files up to {difference:.2g} off this "
            f"project's probabilities ({others} with another class), the limit is {FILE_TOLERANCE:g}: nothing is kept"
        )
    return FileParity(files=len(paths), difference=difference, tolerance=FILE_TOLERANCE, packages=versions)


def _measure_difference(found: np.ndarray, right: np.ndarray) -> float:
    """Return the largest difference; infinity where something is no number."""
    difference = float(np.abs(found - right).max())
    return difference if np.isfinite(difference) else float("inf")
