"""A package whose network is an exported one: what serves packages then answers with that format."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from unfreeze import files
from unfreeze.images import store
from unfreeze.records.exported_model import ExportedModel
from unfreeze.records.packed_model import Example, PackedModel
from unfreeze.serving import abstention, package
from unfreeze.serving.classifier import MODEL, NETWORK, REFERENCE, WEIGHTS, read_model
from unfreeze.serving.export.registry import Format
from unfreeze.serving.export.write import FEATURES_FILE
from unfreeze.serving.network import Network
from unfreeze.serving.reference import Reference

BATCH = 8


def can_repack(entry: Format) -> bool:
    """Tell whether a format is a network that packages hold: OpenVINO's.

    Args:
        entry: The format.
    """
    return set(entry.artefacts) == {NETWORK, WEIGHTS}


def repack(
    packed: Path, exported: Path, entry: Format, target: Path, *, images: Path, folds: pd.DataFrame
) -> PackedModel:
    """Write a package with the network, the thresholds and the features of an exported folder.

    Args:
        packed: The package that was exported; pictures and classes are taken from it.
        exported: The exported folder.
        entry: Its format, one of those that `can_repack` names.
        target: The new package; it must not be there yet.
        images: The image store.
        folds: The split: `id` and `fold` of each image.

    Returns:
        What the new package says of itself.
    """
    model = ExportedModel.read(exported / MODEL)
    shutil.copytree(packed, target)
    for name in (NETWORK, WEIGHTS):
        shutil.copyfile(exported / name, target / name)
    if entry.tolerance is None:
        _replace_reference(target, exported, images, folds)
    before = read_model(packed)
    with Image.open(target / before.example.file) as example:
        pixels = np.asarray(example.convert("RGB"))
    network = Network(target / NETWORK, batch_size=1)
    ((probabilities, _),) = network.run([pixels[None]])
    said = before.model_copy(
        update={
            "precision": "float32",
            "unsure": model.unsure,
            "unlike": model.unlike,
            "example": Example(file=before.example.file, probabilities=tuple(probabilities[0].tolist())),
            "network_sha256": files.hash_file(target / WEIGHTS),
        }
    )
    said.write(target / MODEL)
    return said


def _replace_reference(target: Path, exported: Path, images: Path, folds: pd.DataFrame) -> None:
    """Take the rounded network's features of the same training images, and its scores of the calibration fold."""
    vectors = abstention.divide(np.load(exported / FEATURES_FILE))
    stored = store.describe(images)
    rows = stored.find_rows(folds, "calibration")
    scores = np.zeros(0)
    if len(rows):
        network = Network(target / NETWORK, batch_size=BATCH)
        said = package.run(network, images, rows, "calibration images").probabilities
        scores = np.sort(1 - said[np.arange(len(rows)), stored.labels[rows]])
    reference = Reference.read(target / REFERENCE)
    replace(reference, features=vectors.directions, lengths=vectors.lengths, scores=scores).write(target / REFERENCE)
