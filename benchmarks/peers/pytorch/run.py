"""Run one peer from image files to test accuracy; the last line of output is JSON.

python -m benchmarks.peers.pytorch.run fastai --images FOLDER --split FILE --ported STEM --point auto
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

import pandas as pd

import benchmarks.peers.pytorch.networks  # noqa: F401  (registers the networks)
from benchmarks.peers.pytorch.task import Task


def main() -> None:
    """Train, predict, and print what came of it."""
    options = _options()
    about = json.loads(options.ported.with_suffix(".ported.json").read_text())
    # timm leaves a classifier out where the number of classes differs from the checkpoint's.
    checkpoint = {
        "file": str(options.ported.with_suffix(".pth")),
        "mean": tuple(about["mean"]),
        "std": tuple(about["std"]),
        "num_classes": 1000,
    }
    task = Task(
        images=options.images,
        split=options.split,
        network=f"keras_{options.ported.name}",
        checkpoint=checkpoint,
        trained=about["trained"] if options.point == "auto" else None,
        precision=options.precision,
        size=options.size,
        batch_size=options.batch_size,
        head_epochs=options.head_epochs,
        epochs=options.epochs,
        seed=options.seed,
        changes=options.changes,
    )
    predicted = importlib.import_module(f"benchmarks.peers.pytorch.{options.peer}_recipe").train(task)
    tuning = task.laps[task.head_epochs :][: task.epochs]
    rows = pd.read_csv(task.split, dtype=str)
    test = rows[rows["fold"] == "test"]
    correct = [bool(said == label) for said, label in zip(predicted, test["label"], strict=True)]
    said = {
        "epoch_seconds": sum(tuning) / len(tuning),
        "accuracy": sum(correct) / len(correct),
        "correct": dict(zip(test["path"], correct, strict=True)),
    }
    # fastai leaves its bar without an end of line.
    sys.stdout.write("\n" + json.dumps(said) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=("fastai", "timm"))
    parser.add_argument("--images", required=True, type=Path, help="folder of the images")
    parser.add_argument("--split", required=True, type=Path, help="CSV of path, label, fold")
    parser.add_argument("--ported", required=True, type=Path, help="FOLDER/BACKBONE of the ported weights")
    parser.add_argument("--point", choices=("auto", "all"), default="auto", help="what fine-tuning trains")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--head-epochs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--changes", type=json.loads, help="arguments of fastai's aug_transforms, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
