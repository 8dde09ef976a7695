"""Predictions of image files that a cluster's machines share out among themselves."""

import hashlib
import json
import platform
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from unfreeze import files
from unfreeze.cluster.node import digest_code
from unfreeze.cluster.shards import Cluster, Compute, Shard, Work, name_images, require_same
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError
from unfreeze.serving import loading
from unfreeze.serving.classifier import MODEL, NETWORK, REFERENCE, WEIGHTS, Classifier
from unfreeze.serving.inputs import Input
from unfreeze.serving.loading import Loaded, Prediction

# Rows that are handed over together.
BLOCK = 64


class DividedInputs:
    """The images of a run: files are predicted by a cluster, and what comes from addresses by this process.

    Args:
        classifier: The model.
        cluster: Computes the rows.
        storage: Takes the list of the files, for the machines to read.
        inputs: All images.
    """

    def __init__(self, classifier: Classifier, cluster: Cluster, storage: Storage, inputs: list[Input]) -> None:
        self._classifier = classifier
        self._cluster = cluster
        self.inputs = inputs
        shared = [found for found in inputs if _is_shared(found)]
        rows = [json.dumps([str(found.path.absolute()), *found.stamp]).encode() for found in shared]
        listing = Shard(hashlib.sha256(b"\n".join(rows)).hexdigest(), 0, len(rows))
        if rows and not storage.holds(listing):
            storage.write(listing, [np.array(rows)])
        package = _digest_package(classifier.folder)
        folder = classifier.folder.absolute()
        self._work = Work(
            "predict",
            {"package": package, "files": listing.id, "code": digest_code()},
            (len(rows),),
            partial(load_compute, folder, package, storage.address, listing),
            name_rows=partial(name_images, [found.source for found in shared]),
        )

    def predict(self, left: Iterator[tuple[int, Input]]) -> Iterator[list[Prediction]]:
        """Yield predictions, some at a time and in order.

        Args:
            left: The images that have no prediction yet, with their places: all behind some place.
        """
        rest = list(left)
        done = sum(map(_is_shared, self.inputs[: rest[0][0] if rest else None]))
        rows = (row for block in self._cluster.iterate_rows(self._work, done) for row in block.tolist())
        own = loading.predict(self._classifier, (pair for pair in rest if not _is_shared(pair[1])))
        here = (prediction for some in own for prediction in some)
        predictions = (_decode_row(*pair, next(rows)) if _is_shared(pair[1]) else next(here) for pair in rest)
        while some := list(islice(predictions, BLOCK)):
            yield some


def load_compute(folder: Path, package: dict[str, str], address: str, listing: Shard) -> Compute:
    """Return what predicts listed files from one number up to another.

    Args:
        folder: The packed model.
        package: Digests of its files, which must be the same here.
        address: Address of the storage.
        listing: The list of the files there.

    Raises:
        UnfreezeError: This machine has another model, or no list.
    """
    classifier = Classifier(folder)
    require_same(package, _digest_package(folder))
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as scratch:
        listed = Storage(address).read(listing, Path(scratch))
    if listed is None:
        raise UnfreezeError(f"{platform.node()} finds no list of images in cluster.storage: run the command again")
    return partial(_compute, classifier, listed)


def _compute(classifier: Classifier, listed: np.ndarray, start: int, stop: int) -> Iterator[np.ndarray]:
    """Yield predictions as JSON; each image is decoded in a process that may crash or hang without harm."""
    inputs = enumerate(map(_find, listed[start:stop].tolist()))
    for some in loading.predict(classifier, inputs, isolated=stop - start):
        yield np.array([_encode_row(prediction) for prediction in some])


def _encode_row(prediction: Prediction) -> bytes:
    known = prediction.probabilities
    return json.dumps([None if known is None else known.tolist(), prediction.reason]).encode()


def _decode_row(number: int, found: Input, row: bytes) -> Prediction:
    probabilities, reason = json.loads(row)
    return Prediction(Loaded(number, found, None), None if probabilities is None else np.array(probabilities), reason)


def _find(row: bytes) -> Input:
    """Return a listed file.

    Raises:
        UnfreezeError: It is not here, or another one.
    """
    name, *stamp = json.loads(row)
    try:
        state = Path(name).stat()
    except OSError:
        state = None
    if state is None or [state.st_size, state.st_mtime_ns] != stamp:
        raise UnfreezeError(
            f"{platform.node()} sees no {name}, or another one than was listed: put images into a folder that all "
            "machines see, or set cluster.engine=local"
        )
    return Input(name, Path(name))


def _is_shared(found: Input) -> bool:
    return not (found.address or found.problem)


def _digest_package(folder: Path) -> dict[str, str]:
    return {name: files.hash_file(folder / name) for name in (MODEL, NETWORK, WEIGHTS, REFERENCE)}
