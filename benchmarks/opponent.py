"""The opponent's side: the Keras guide's way, as a process of its own."""

import sys
from typing import Any

from benchmarks import inputs, measure, pipeline


def measure_guide(
    case: inputs.Case, given: inputs.Inputs, *, head_epochs: int, epochs: int
) -> tuple[measure.Run, dict[str, Any]]:
    """Run the guide's way once.

    Args:
        case: The backbone and where it is unfrozen.
        given: The images and the opponent.
        head_epochs: Epochs of the head alone.
        epochs: Epochs of fine-tuning.

    Returns:
        What the process took, and what it says of itself.
    """
    command = [
        *(sys.executable, str(given.guide.resolve()), "--data", str(given.images), "--backbone", case.builder),
        *("--weights", str(case.weights.resolve()) if case.weights else "none", "--unfreeze-from", case.point),
        *("--size", str(pipeline.SIZE), "--head-epochs", str(head_epochs), "--epochs", str(epochs)),
    ]
    taken = measure.run(command, folder=inputs.ROOT)
    return taken, measure.read_result(taken)
