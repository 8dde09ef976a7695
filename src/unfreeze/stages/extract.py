"""Run the frozen part of a backbone once over the training and the validation fold, and store what it gives."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from unfreeze import console, files
from unfreeze.data import augment, features, store
from unfreeze.models import backbones
from unfreeze.params import Params
from unfreeze.paths import Paths

PARAMS = ("seed", "augment", "extract", "unfreeze", "search.enabled")


# Seeds of two views lie further apart than the number of random changes, each of which takes the next seed.
VIEW_SEEDS = 100


def statistics(batches: Iterator[np.ndarray]) -> pd.DataFrame:
    """Return one row an image of both folds: mean and deviation of its activations, and whether all are finite."""
    parts = []
    for batch in batches:
        rows = batch.reshape(len(batch), -1).astype("float32")
        finite = np.isfinite(rows).all(axis=1)
        # What is not finite has no deviation: that is what the table tells.
        with np.errstate(invalid="ignore"):
            parts.append(pd.DataFrame({"finite": finite, "mean": rows.mean(axis=1), "deviation": rows.std(axis=1)}))
    return pd.concat(parts, ignore_index=True).rename_axis("row").reset_index()


def pixel_batches(
    paths: Paths, params: Params, train: Sequence[int], val: Sequence[int], *, done: int
) -> Iterator[np.ndarray]:
    """Yield the pixels of every view of the training fold, then of the validation fold.

    Args:
        paths: Where the images lie.
        params: Needs `seed`, `augment` and `extract`.
        train: Row numbers of the training fold.
        val: Row numbers of the validation fold.
        done: How many rows to leave out at the start, a whole number of batches.
    """
    position = 0
    # The first view shows the images as they are.
    makers = [
        augment.view_maker(params.augment, params.seed + VIEW_SEEDS * view) if view else None
        for view in range(params.augment.views)
    ]
    for rows, maker in [*((train, maker) for maker in makers), (val, None)]:
        if maker is None:
            skipped = min(max(done - position, 0), len(rows))
            yield from store.batches(paths.images, rows[skipped:], params.extract.batch_size)
            position += len(rows)
            continue
        for batch in store.batches(paths.images, rows, params.extract.batch_size):
            # Made even if it is there already: each batch moves the random state on.
            changed = augment.augmented(maker, batch)
            position += len(batch)
            if position > done:
                yield changed


def run(params: Params, paths: Paths, backbone: str) -> None:
    """Cut before the deepest unfreeze point in use and store the activations there; the test fold is left alone."""
    from unfreeze.data import expectations
    from unfreeze.models.engine import Engine

    images = store.describe(paths.images)
    network = backbones.Backbone(backbones.row_of(backbone), images.size)
    network.base.load_weights(paths.weights(backbone))
    points: list[Any] = [params.unfreeze.point.of(backbone)]
    if params.search.enabled:
        points += network.candidates(params.unfreeze.candidates.of(backbone)).values()
    position = min(network.cut(point) for point in points)
    settings = params.extract
    prefix = network.part(0, position)
    engine = Engine(prefix, kind=settings.engine, precision=settings.precision, batch_size=settings.batch_size)
    folds = pd.read_csv(paths.split)
    train, val = (images.rows_of(folds, fold) for fold in features.FOLDS)
    plan = features.Plan(
        position=position,
        row_shape=tuple(prefix.output.shape[1:]),
        dtype="float16" if position else "uint8",
        train_labels=np.tile(images.labels[train], params.augment.views),
        val_labels=images.labels[val],
        classes=len(images.classes),
        determined_by={
            "images": images.digest,
            "weights": files.sha256(paths.weights(backbone)),
            "split": files.sha256(paths.split),
            "settings": _digest([params.seed, params.augment.model_dump(), settings.model_dump(), engine.name]),
            "cut": network.base.operations[position].name,
        },
    )
    with (
        features.writing(paths.features(backbone), plan) as writer,
        console.progress(f"running {backbone}'s frozen layers on {engine.name}", plan.rows) as advance,
    ):
        advance(writer.done)
        for part in engine.run(pixel_batches(paths, params, train, val, done=writer.done)):
            writer.append(part.astype(plan.dtype))
            advance(len(part))
    console.log.info("%s: cut after %s, activations %s", backbone, plan.determined_by["cut"], plan.row_shape)
    pretrained = files.read_json(paths.weights_record(backbone))["pretrained"]
    rules = expectations.feature_rules()
    table = statistics(features.batches(paths.features(backbone)))
    expectations.gate(f"features_{backbone}", table, rules, paths, fatal=pretrained)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
