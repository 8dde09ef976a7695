"""One recipe of fine-tuning with several seeds: what it says of the validation images; one JSON line.

    python -m benchmarks.recipe_training CLONE BACKBONE SEED ...

The clone has features. Point and settings of fine-tuning are those of its params.yaml.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import keras

from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.params import Params, load
from unfreeze.training.transfer import Transfer


def main(folder: str, name: str, *seeds: str) -> dict[str, Any]:
    """Train with each seed, each time from a new head.

    Returns:
        `labels` of the validation images, and of each seed their `probabilities`, the `best_epoch`, from 1, and the
        `seconds` of fine-tuning.
    """
    paths = Paths(Path(folder))
    params = load(paths.params)
    labels: list[int] = []
    runs = []
    for seed in seeds:
        keras.utils.clear_session()
        with Transfer.prepare(params.model_copy(update={"seed": int(seed)}), paths, name) as transfer:
            labels = transfer.features.plan.val.labels.tolist()
            runs.append(train(params, transfer, name))
    return {"labels": labels, "runs": runs}


def train(params: Params, transfer: Transfer, name: str) -> dict[str, Any]:
    """Train the head, fine-tune, and score the validation images with the weights that fine-tuning ends with."""
    transfer.train_head(params.train.head.get(name))
    begun = time.monotonic()
    result = transfer.fine_tune(params.unfreeze.point.get(name), params.train.finetune.get(name))
    seconds = time.monotonic() - begun
    return {
        "probabilities": transfer.predict_validation().astype(float).tolist(),
        "best_epoch": int(result.history["val_loss"].to_numpy().argmin()) + 1,
        "seconds": seconds,
    }


if __name__ == "__main__":
    console.configure_logging()
    console.import_tensorflow()
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
