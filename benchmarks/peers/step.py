"""Measure this project's step of fine-tuning a whole network; one JSON line.

    python -m benchmarks.peers.step BACKBONE PRECISION SIZE BATCH STEPS ROUNDS

The model, its arithmetic and its optimizer are those of `unfreeze.training.transfer`; the weights are random.
"""

import sys
from typing import Any

import numpy as np

from benchmarks.peers.pytorch.rounds import print_rates
from unfreeze.runtime import console

CLASSES = 5


def main(name: str, precision: Any, size: str, batch: str, steps: str, rounds: str) -> None:
    """Print images a second of each round."""
    import keras
    import tensorflow as tf

    from unfreeze.models.backbone import Backbone
    from unfreeze.models.engine import use_precision
    from unfreeze.models.table import find_row
    from unfreeze.training import convolutions
    from unfreeze.training.heads import build_head
    from unfreeze.training.optimizers import FusedAdam
    from unfreeze.training.transfer import FineTuned, make_deterministic

    make_deterministic(0)
    backbone = Backbone(find_row(name), int(size))
    head = build_head(backbone.row.head, features=backbone.feature_shape, classes=CLASSES, output="softmax")
    network = convolutions.replace_convolutions(backbone.build_part(0, backbone.end))
    use_precision(precision, but=convolutions.list_slow_in_bfloat16(network))
    model = FineTuned(network, head)
    model.compile(
        FusedAdam(1e-4),
        keras.losses.CategoricalCrossentropy(),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,
        steps_per_execution=int(steps),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (int(batch), int(size), int(size), 3)).astype("float32")
    labels = np.eye(CLASSES, dtype="float32")[np.arange(int(batch)) % CLASSES]
    data = tf.data.Dataset.from_tensors((pixels, labels)).repeat(int(steps))
    print_rates(lambda: model.fit(data, verbose=0), images=int(batch) * int(steps), rounds=int(rounds))


if __name__ == "__main__":
    console.import_tensorflow()
    main(*sys.argv[1:])
