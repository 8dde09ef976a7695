"""One step of fine-tuning with the whole network unfrozen: this project's against PyTorch's, both deterministic."""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import inputs, measure

BACKBONES = ("mobilenetv2", "efficientnetv2b0", "xception", "resnet50", "vgg16")
SIZE, BATCH = 128, 32
STEPS, ROUNDS = 4, 6
FLOOR = 1.0
# PyTorch's BatchNorm in the mode in which this project trains, and in its own: the faster one is the opponent.
OURS, MODES = "ours", ("inference", "training")


def measure_in_turn(python: Path, name: str, precision: str, runs: dict[str, list[float]]) -> None:
    """Add a process of each way to its runs: images a second, the median of its rounds.

    Args:
        python: The peers' Python.
        name: The backbone.
        precision: float32 or bfloat16.
        runs: Images a second of the processes before, by way.
    """
    runs.setdefault(OURS, []).append(measure_ours(name, precision))
    for mode in MODES:
        rate = _measure(python, "benchmarks.peers.pytorch.step", name, precision, mode)
        runs.setdefault(mode, []).append(rate)


def measure_ours(name: str, precision: str) -> float:
    """Return images a second of this project's step, the median of a process's rounds.

    Args:
        name: The backbone.
        precision: float32 or bfloat16.
    """
    return _measure(Path(sys.executable), "benchmarks.peers.step", name, precision)


def _measure(python: Path, module: str, *arguments: str) -> float:
    sizes = [str(number) for number in (SIZE, BATCH, STEPS, ROUNDS)]
    taken = measure.run([str(python), "-m", module, *arguments, *sizes], folder=inputs.ROOT)
    return float(statistics.median(measure.read_result(taken)["images_per_second"]))


def compare(runs: dict[str, Sequence[float]]) -> dict[str, float]:
    """Return each way's median rate, and this project's over the faster one of PyTorch's.

    >>> compare({"ours": [30, 10, 20], "inference": [9, 9, 9], "training": [10, 10, 10]})["ratio"]
    2.0
    """
    rates = {way: float(statistics.median(runs[way])) for way in (OURS, *MODES)}
    return {**rates, "ratio": rates[OURS] / max(rates[mode] for mode in MODES)}
