"""What a model costs to use: arithmetic, time and room on disk."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from unfreeze.models.engine import Engine
from unfreeze.runtime.timing import CALLS, measure_median_ms


def count_multiply_accumulates(model: keras.Model) -> int:
    """Return the multiply-accumulates of one image, counted by TensorFlow's profiler: half its operations.

    Args:
        model: A functional model with one input.
    """
    (shape,) = (tensor.shape[1:] for tensor in model.inputs)
    function = tf.function(lambda rows: model(rows, training=False))
    traced = function.get_concrete_function(tf.TensorSpec((1, *shape), model.inputs[0].dtype))
    options = (
        tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
        .with_empty_output()
        .build()
    )
    counted = tf.compat.v1.profiler.profile(graph=traced.graph, cmd="op", options=options)
    return int(counted.total_float_ops) // 2


def measure_latency(
    engine: Engine, *, batch_sizes: Sequence[int] = (1, 32), repeats: int = CALLS
) -> dict[str, float]:
    """Measure how long a call takes, one after the other, in the engine that scores the model.

    A size takes about a second: slow models are called less often, at least once.

    Args:
        engine: Runs a model from uint8 pixels; whatever its batch size.
        batch_sizes: Images a call.
        repeats: Most calls of each size that are timed.

    Returns:
        The median of each size in milliseconds a call, by the size as text, as JSON has keys.
    """
    return {str(size): _measure_median_ms(engine.resized(size, hint="latency"), repeats) for size in batch_sizes}


def measure_size_mb(path: Path) -> float:
    """Return a file's size in MB of 10^6 bytes."""
    return path.stat().st_size / 1e6


def _measure_median_ms(engine: Engine, repeats: int) -> float:
    shape = (engine.batch_size, *engine.model_input.shape[1:])
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(engine.model_input.dtype)
    return measure_median_ms(lambda: list(engine.run([pixels])), calls=repeats)
