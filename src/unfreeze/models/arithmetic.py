"""How much a layer computes and puts out for an image, counted without TensorFlow and without weights."""

import math
from typing import Any


def count_macs(operation: Any) -> int:
    """Return the multiply-adds of one image: each kernel is applied at each place of the output.

    Args:
        operation: An operation of a functional model, or a model within it.
    """
    if hasattr(operation, "operations"):
        return sum(count_macs(inner) for inner in operation.operations)
    places: int = math.prod(operation.output.shape[1:-1])
    weights = getattr(operation, "weights", ())
    kernels: list[tuple[int, ...]] = [tuple(weight.shape) for weight in weights if len(weight.shape) > 1]
    return places * sum(math.prod(shape) for shape in kernels)


def count_values(operation: Any) -> int:
    """Return how many numbers an operation puts out for one image.

    Args:
        operation: An operation of a functional model.
    """
    values: int = math.prod(operation.output.shape[1:])
    return values
