"""The peers' side: weights ported from Keras, and runs, each a process of the peers' Python."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import inputs, measure, pipeline
from benchmarks.inputs import Case
from benchmarks.peers.ours import Split

PEERS = ("fastai", "timm")


def port(python: Path, case: Case, folder: Path) -> float:
    """Port a backbone's weights; a port whose features differ from Keras' ends the benchmark.

    Args:
        python: The peers' Python.
        case: The backbone and its weights.
        folder: Where the ported weights are written.

    Returns:
        The largest difference of a feature, of the largest feature.

    Raises:
        RuntimeError: Features differ by more than 1e-4.
    """
    weights = str(case.weights.resolve()) if case.weights else "random"
    folder.mkdir(exist_ok=True)
    arguments = [case.name, weights, str(pipeline.SIZE), str(folder)]
    measure.run([sys.executable, "-m", "benchmarks.peers.export", *arguments], folder=inputs.ROOT)
    command = [str(python), "-m", "benchmarks.peers.pytorch.port", case.name, str(folder)]
    return float(measure.read_result(measure.run(command, folder=inputs.ROOT))["difference"])


def run(
    python: Path,
    peer: str,
    case: Case,
    *,
    images: Path,
    split: Split,
    ported: Path,
    epochs: int,
    others: Sequence[str] = (),
) -> tuple[measure.Run, dict[str, Any]]:
    """Run a peer once.

    Args:
        python: The peers' Python.
        peer: One of `PEERS`.
        case: The variant.
        images: Folder of the images.
        split: Their folds.
        ported: Folder that `port` wrote to.
        epochs: Epochs of the head, and of fine-tuning.
        others: Further options of `benchmarks.peers.pytorch.run`; one that is there already is replaced.

    Returns:
        What the process took, and what it says of itself.
    """
    command = [
        *(str(python), "-m", "benchmarks.peers.pytorch.run", peer, "--images", str(images.resolve())),
        *("--split", str(split.path), "--ported", str(ported / case.name), "--point", case.point),
        *("--precision", case.precision, "--size", str(pipeline.SIZE)),
        *("--head-epochs", str(epochs), "--epochs", str(epochs)),
        *others,
    ]
    taken = measure.run(command, folder=inputs.ROOT)
    return taken, measure.read_result(taken)
