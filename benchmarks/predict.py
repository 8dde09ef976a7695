"""Measures `unfreeze predict` against its own network: images a second from files, as a share of those from memory.

    python -m benchmarks.predict models/packed/xception /path/to/images --count 1000

Both run in one process, by turns, so that a busy machine slows both.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unfreeze.serving import run
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.inputs import walk
from unfreeze.serving.locate import Located

# Distinct batches in memory: more than a processor's caches hold.
BATCHES = 16


@dataclass(frozen=True)
class Rate:
    """Images a second of wall time, and a second of the processors' time, which other programs disturb less."""

    wall: float
    processor: float


def measure(work: Callable[[], int]) -> Rate:
    """Run some work that returns how many images it did."""
    wall, processor = time.perf_counter(), time.process_time()
    count = work()
    return Rate(count / (time.perf_counter() - wall), count / (time.process_time() - processor))


def run_network(classifier: Classifier, images: list[Path], count: int) -> Callable[[], int]:
    """Return the run of the network alone, over pixels in memory."""
    size = classifier.batch_size
    starts = range(0, min(BATCHES * size, len(images)) // size * size, size)
    loaded = [np.stack([classifier.load(image) for image in images[start : start + size]]) for start in starts]
    batches = list(itertools.islice(itertools.cycle(loaded), count // size))
    return lambda: sum(len(probabilities) for probabilities, _ in classifier.network.run(batches))


def run_predict(classifier: Classifier, images: list[Path], count: int) -> Callable[[], int]:
    """Return the run over files that writes a table; the model is loaded already."""
    located = Located(classifier.folder, "model")
    sources = list(map(str, itertools.islice(itertools.cycle(images), count)))

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            options = run.Options(sources, Path(folder, "rows.csv"))
            done = run.predict(located, options, further=[], show=lambda *_: None, classifier=classifier)
        return done.images

    return work


def main() -> None:
    """Print both rates and their ratio, by turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    classifier = Classifier(options.package)
    images = list(itertools.islice(walk(options.images), options.count))
    works = [make(classifier, images, options.count) for make in (run_network, run_predict)]
    wall, processor = [], []
    for turn in range(options.turns + 1):
        network, predicted = map(measure, works)
        # The first turn warms caches.
        if turn:
            wall.append(predicted.wall / network.wall)
            processor.append(predicted.processor / network.processor)
            print(f"network {network.wall:.1f}/s, predict {predicted.wall:.1f}/s, ratio {wall[-1]:.2f}")  # noqa: T201
    print(f"median ratio {statistics.median(wall):.2f}, by processor time {statistics.median(processor):.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
