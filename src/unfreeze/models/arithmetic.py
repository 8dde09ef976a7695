"""How much a layer computes and puts out for an image, counted without TensorFlow and without weights."""

import math
from typing import Any

# Layers that training merges with the one before or after them, or that cost next to nothing beside those.
MERGED = ("InputLayer", "BatchNormalization", "Activation", "ReLU", "ZeroPadding2D", "Dropout", "Rescaling")


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


def count_trained_values(operation: Any) -> int:
    """Return how many numbers training moves to and from memory because of an operation, for one image.

    BatchNorm goes into the convolution before it, and activations are computed where the numbers are at hand. With
    the other layers alone, five networks train at 1.04 to 1.25 times the rate that follows from the arithmetic
    (benchmarks/peers.md); with all of them it was 1.1 to 3.2 times.

    Args:
        operation: An operation of a functional model, or a model within it.
    """
    if hasattr(operation, "operations"):
        return sum(count_trained_values(inner) for inner in operation.operations)
    return 0 if type(operation).__name__ in MERGED else count_values(operation)
