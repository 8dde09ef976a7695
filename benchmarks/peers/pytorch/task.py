"""What a recipe is given, and how it shows the end of an epoch."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Task:
    """A transfer learning task.

    Args:
        images: Folder of the images.
        split: CSV of path in that folder, label, and fold: train, val or test.
        network: timm's name of the network.
        checkpoint: timm's description of its weights: file, mean and deviation of pixels.
        trained: Modules that fine-tuning trains; None for all.
        precision: float32 or bfloat16.
        size: Image side, pixels.
        batch_size: Images a step.
        head_epochs: Epochs of the head alone.
        epochs: Epochs of fine-tuning.
        seed: Seed of the head and of the order of images.
        changes: Random changes of images, arguments of fastai's `aug_transforms`; None for the peers' default.
        laps: Seconds of each epoch, with its validation; grows while the recipe runs.
    """

    images: Path
    split: Path
    network: str
    checkpoint: dict[str, Any]
    trained: list[str] | None
    precision: str
    size: int
    batch_size: int
    head_epochs: int
    epochs: int
    seed: int
    changes: dict[str, Any] | None = None
    laps: list[float] = field(default_factory=list)
    _last: list[float] = field(default_factory=lambda: [time.perf_counter()])

    def end_epoch(self) -> None:
        """Note the end of an epoch; recipes mark what calls it with `# measured`, as users write none of it."""
        now = time.perf_counter()
        self.laps.append(now - self._last[0])
        self._last[0] = now


def holds(trained: Iterable[str], parameter: str) -> bool:
    """Return whether a parameter belongs to one of the modules.

    >>> holds(["blocks.1"], "model.blocks.1.weight"), holds(["blocks.1"], "blocks.11.weight")
    (True, False)
    """
    return any(f".{name}." in f".{parameter}" for name in trained)
