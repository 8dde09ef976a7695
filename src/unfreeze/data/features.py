"""Cached activations: what a backbone gives at the cut, for the training and the validation fold."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from unfreeze import files
from unfreeze.errors import UnfreezeError


class Runner(Protocol):
    """Anything that maps rows to rows."""

    def run_array(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Features:
    """Activations of the two folds that training may see.

    Args:
        position: Where the backbone was cut, in `backbone.operations`; 0 holds the uint8 pixels themselves.
        train: Shape (views * images, ...), float16 or uint8; all images of a view follow each other.
        train_labels: Class numbers, one a row of `train`.
        val: Shape (images, ...).
        val_labels: Class numbers, one a row of `val`.
        classes: Number of classes.
        determined_by: What the activations depend on: digests of the images, the weights and the settings.
    """

    position: int
    train: np.ndarray
    train_labels: np.ndarray
    val: np.ndarray
    val_labels: np.ndarray
    classes: int
    determined_by: dict[str, str]

    def through(self, engine: Runner, *, position: int | None = None) -> "Features":
        """Return the features after some more frozen layers, in half precision as they are stored."""
        return replace(
            self,
            position=self.position if position is None else position,
            train=engine.run_array(self.train).astype("float16"),
            val=engine.run_array(self.val).astype("float16"),
        )


def write(path: Path, features: Features) -> None:
    """Store features in HDF5."""
    files.require_space(path.parent, features.train.nbytes + features.val.nbytes)
    with files.atomic(path) as partial, h5py.File(partial, "w") as store:
        store.attrs["position"] = features.position
        store.attrs["classes"] = features.classes
        for name, digest in sorted(features.determined_by.items()):
            store.attrs[f"determined_by.{name}"] = digest
        for name in ("train", "train_labels", "val", "val_labels"):
            store.create_dataset(name, data=getattr(features, name))


def read(path: Path) -> Features:
    """Read stored features.

    Raises:
        UnfreezeError: The file is damaged.
    """
    try:
        with h5py.File(path) as store:
            arrays = {name: store[name][...] for name in ("train", "train_labels", "val", "val_labels")}
            prefix = "determined_by."
            return Features(
                position=int(store.attrs["position"]),
                classes=int(store.attrs["classes"]),
                determined_by={
                    name.removeprefix(prefix): str(value)
                    for name, value in store.attrs.items()
                    if name.startswith(prefix)
                },
                **arrays,
            )
    except (OSError, KeyError) as error:
        raise UnfreezeError(f"{path} is damaged ({error}): delete it and run `dvc repro` again") from error
