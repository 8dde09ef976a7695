"""Measure how well a packed model tells the images of a folder from this checkout's test fold.

python -m benchmarks.unlike BACKBONE FOLDER [--most 1000]
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from unfreeze import files
from unfreeze.images import store
from unfreeze.paths import Paths
from unfreeze.serving import rejection
from unfreeze.serving.classifier import Classifier

SUFFIXES = (".jpg", ".jpeg", ".png")


def main() -> None:
    """Print the AUROC, the share of the folder's images that is rejected, and the share of test images that is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unlike", description=__doc__.splitlines()[0])
    parser.add_argument("backbone", help="a backbone of the study in this folder")
    parser.add_argument("folder", type=Path, help="a folder of other images, such as cats and dogs")
    parser.add_argument("--most", type=int, default=1000, help="images taken, evenly spaced in the folder")
    options = parser.parse_args()
    paths = Paths(Path.cwd())
    classifier = Classifier(paths.packed(options.backbone))
    test = store.describe(paths.images).find_rows(files.read_csv(paths.split), "test")
    like = _measure(classifier, store.read_batches(paths.images, test, classifier.batch_size))
    found = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    some = [found[place] for place in np.linspace(0, len(found) - 1, min(options.most, len(found))).astype(int)]
    other = _measure(classifier, _load(classifier, some))
    result = rejection.compare(str(options.folder), like, other)
    shares = {"test_images": len(like), "rejected_test_images": float((like > 1).mean())}
    sys.stdout.write(json.dumps({**result.to_json(), **shares}) + "\n")


def _measure(classifier: Classifier, batches: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([answers.unlikeness for answers in classifier.classify(batches)])


def _load(classifier: Classifier, paths: list[Path]) -> Iterator[np.ndarray]:
    for start in range(0, len(paths), classifier.batch_size):
        yield np.stack([classifier.load(path) for path in paths[start : start + classifier.batch_size]])


if __name__ == "__main__":
    main()
