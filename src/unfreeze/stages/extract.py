"""Run the frozen part of a backbone once over the training and the validation fold, and store what it gives."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from unfreeze import console, files
from unfreeze.data import augment, features, store
from unfreeze.models import backbones
from unfreeze.params import Params
from unfreeze.paths import Paths

PARAMS = ("seed", "augment", "extract", "unfreeze", "search.enabled")


def statistics(cached: features.Features) -> pd.DataFrame:
    """Return one row an image of both folds: mean and deviation of its activations, and whether all are finite."""
    rows = [row.astype("float32") for row in chain(cached.train, cached.val)]
    return pd.DataFrame(
        {
            "row": range(len(rows)),
            "finite": [bool(np.isfinite(row).all()) for row in rows],
            "mean": [float(row.mean()) for row in rows],
            "deviation": [float(row.std()) for row in rows],
        }
    )


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
    engine = Engine(
        network.part(0, position),
        kind=settings.engine,
        precision=settings.precision,
        batch_size=settings.batch_size,
    )
    folds = pd.read_csv(paths.split)
    train, val = (images.rows_of(folds, fold) for fold in ("train", "val"))
    maker = augment.view_maker(params.augment, params.seed) if params.augment.views > 1 else None

    def pixels(rows: list[int], *, changed: bool) -> Iterator[np.ndarray]:
        for batch in store.batches(paths.images, rows, settings.batch_size):
            yield augment.augmented(maker, batch) if changed else batch

    views = params.augment.views
    total = len(train) * views + len(val)
    work = f"running {backbone}'s frozen layers on {engine.name}" if engine else f"copying pixels for {backbone}"
    with console.progress(work, total) as advance:

        def activations(rows: list[int], *, changed: bool = False) -> np.ndarray:
            parts = []
            batches = pixels(rows, changed=changed)
            for part in engine.run(batches) if engine else batches:
                parts.append(part if part.dtype == np.uint8 else part.astype("float16"))
                advance(len(part))
            return np.concatenate(parts)

        stored = np.concatenate([activations(train, changed=view > 0) for view in range(views)])
        cached = features.Features(
            position=position,
            train=stored,
            train_labels=np.tile(images.labels[train], views),
            val=activations(val),
            val_labels=images.labels[val],
            classes=len(images.classes),
            determined_by={
                "data": images.manifest_sha256,
                "weights": files.sha256(paths.weights(backbone)),
                "cut": network.base.operations[position].name,
            },
        )
    features.write(paths.features(backbone), cached)
    console.log.info(
        "%s: cut after %s, activations %s", backbone, cached.determined_by["cut"], cached.train.shape[1:]
    )
    pretrained = files.read_json(paths.weights_record(backbone))["pretrained"]
    expectations.gate(
        f"features_{backbone}", statistics(cached), expectations.feature_rules(), paths, fatal=pretrained
    )
