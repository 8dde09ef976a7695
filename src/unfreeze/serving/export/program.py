"""predict.py of an exported folder: written from a template, and run here as it is run elsewhere."""

import importlib.util
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from unfreeze import files
from unfreeze.rendering import render_code
from unfreeze.serving.export.registry import Format
from unfreeze.serving.network import FEATURES, PROBABILITIES

PREDICT = "predict.py"
# Of speed: two runs of one image and two of a batch in each.
ROUNDS = 8


def write_program(path: Path, entry: Format) -> None:
    """Write a format's predict.py."""
    code = render_code("predict.py.j2", imports=entry.imports, setup=entry.setup, run=entry.run)
    files.write_text(path, code)


class Program:
    """predict.py of a folder, loaded into this process.

    Args:
        folder: An exported folder.

    Raises:
        Exception: The runtime cannot load the artefact; each runtime raises errors of its own.
    """

    # Images a call.
    batch_size: int = 8

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.spec_from_file_location("predict", folder / PREDICT)
        assert spec is not None
        assert spec.loader is not None
        self.module: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)
        # The folder is for others: it holds nothing of this Python's.
        files.remove(folder / "__pycache__")

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield probabilities and features of batches of pixels, as `Network.run` does.

        Args:
            batches: uint8 arrays of shape (rows, size, size, 3).

        Yields:
            float64 probabilities of shape (rows, classes), whose rows add up to 1, and float32 features of shape
            (rows, channels).
        """
        for batch in batches:
            outputs = self.module.run(batch)
            # Some runtimes return views of memory that the next call uses.
            probabilities, features = (np.array(outputs[name]) for name in (PROBABILITIES, FEATURES))
            wide = probabilities.astype("float64")
            yield wide / wide.sum(axis=1, keepdims=True), features

    def time(self, pixels: np.ndarray) -> float:
        """Return the seconds that a batch takes.

        Args:
            pixels: uint8, shape (rows, size, size, 3).
        """
        start = time.perf_counter()
        list(self.run([pixels]))
        return time.perf_counter() - start


def measure_speed(programs: Sequence[Program], pixels: np.ndarray) -> list[tuple[float, float]]:
    """Return the milliseconds for one image and the images a second in batches of each program.

    They take turns, so that other work on the machine slows all of them alike.

    Args:
        programs: The programs.
        pixels: A batch: uint8, shape (rows, size, size, 3).
    """
    one: list[list[float]] = [[] for _ in programs]
    many: list[list[float]] = [[] for _ in programs]
    for _ in range(ROUNDS):
        for number, program in enumerate(programs):
            for taken, batch in ((one, pixels[:1]), (many, pixels)):
                # The first run of a shape may prepare memory for it.
                program.time(batch)
                taken[number] += [program.time(batch) for _ in range(2)]
    return [
        (1000 * float(np.median(single)), len(pixels) / float(np.median(batches)))
        for single, batches in zip(one, many, strict=True)
    ]
