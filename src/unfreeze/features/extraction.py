"""Extraction of activations: where to cut a backbone, and one pass of its frozen layers over both folds."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze.features import cache
from unfreeze.features.plan import Fold, Plan, Settings
from unfreeze.images.store import Images
from unfreeze.runtime import console


def plan_pixels(
    images: Images, train: np.ndarray, val: np.ndarray, settings: Settings, determined_by: dict[str, str]
) -> Plan:
    """Plan a cache of the pixels themselves, from which a plan for each cut is derived.

    Args:
        images: The image store.
        train: Rows of the training fold in the store, int64 array; with several views, view after view.
        val: Rows of the validation fold in the store, int64 array.
        settings: Seed, augmentation and extraction.
        determined_by: Digests of images, weights and split, and how pixels are scaled.
    """
    return Plan(
        position=0,
        row_shape=(images.size, images.size, 3),
        dtype="uint8",
        train=Fold(train, images.labels[train], scale_to_mean_one(images.weights[train])),
        val=Fold(val, images.labels[val], np.ones(len(val), np.float32)),
        classes=len(images.classes),
        determined_by={**determined_by, "cut": "pixels"},
        settings=settings,
    )


def list_plans(pixels: Plan, cuts: list[tuple[int, Any]]) -> list[Plan]:
    """Return a plan for each place where a backbone can be cut.

    Args:
        pixels: From `plan_pixels`.
        cuts: Positions with the operations there, from `Backbone.list_cuts`.
    """
    return [
        replace(
            pixels,
            position=cut,
            row_shape=tuple(operation.output.shape[1:]),
            dtype=pixels.settings.extract.dtype,
            determined_by={**pixels.determined_by, "cut": operation.name},
        )
        if cut
        else pixels
        for cut, operation in cuts
    ]


def choose_plan(plans: list[Plan], room: int) -> Plan:
    """Return the plan with the least left to compute for which there is room.

    Args:
        plans: One for each place where the backbone can be cut, the wanted one last.
        room: Bytes that activations may take.

    Returns:
        The wanted plan, or the last one that fits; if none does, the wanted one with nothing stored.
    """
    wanted = plans[-1]
    for plan in reversed(plans):
        if plan.nbytes <= room:
            break
    else:
        plan = replace(wanted, stored=False)
    if plan is not wanted:
        console.log.warning(
            "activations behind %s would take %.1f GB, there is room for %.1f: %s. %s",
            wanted.determined_by["cut"], wanted.nbytes / 1e9, room / 1e9,
            f"cut behind {plan.determined_by['cut']} instead, {plan.nbytes / 1e9:.1f} GB"
            if plan.stored else "nothing is stored, they are computed in every epoch",
            _describe_remedy(wanted),
        )  # fmt: skip
    return plan


def _describe_remedy(wanted: Plan) -> str:
    """Return what makes room for a plan."""
    if wanted.nbytes > wanted.settings.extract.max_gb * 1e9:
        return f"extract.max_gb={math.ceil(wanted.nbytes / 1e9)} stores them; `unfreeze plan` says what that saves"
    return f"They are stored where {2 * wanted.nbytes / 1e9:.1f} GB of disk are free, for them and DVC's copy"


def scale_to_mean_one(weights: np.ndarray) -> np.ndarray:
    """Scale weights, so that a learning rate means the same with and without them.

    Args:
        weights: Positive float array of shape (images,).

    Returns:
        float32 array of the same shape, whose mean is 1.

    >>> scale_to_mean_one(np.array([1.0, 1.0, 4.0])).tolist()
    [0.5, 0.5, 2.0]
    """
    scaled: np.ndarray = weights / weights.mean(dtype=np.float64)
    return scaled.astype(np.float32)


def write_activations(
    path: Path, plan: Plan, compute: Callable[[int], Iterator[np.ndarray]], *, title: str, max_file_bytes: int
) -> None:
    """Store what the frozen layers give for both folds; rows of an interrupted run are kept.

    Args:
        path: The cache.
        plan: What it will hold.
        compute: Yields the rows from a number on, some at a time.
        title: What is run, for the progress.
        max_file_bytes: Most bytes of rows in a file: more are put into shard files.
    """
    with cache.open_writer(path, plan, max_file_bytes) as writer, console.progress(title, plan.rows) as advance:
        advance(writer.done)
        for rows in compute(writer.done) if plan.stored else ():
            writer.append(rows)
            advance(len(rows))
