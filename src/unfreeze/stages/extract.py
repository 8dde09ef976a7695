"""Run the frozen part of a backbone once over the training and the validation fold, and store what it gives."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import gate, rules
from unfreeze.features import cache, pooled
from unfreeze.features.cache import Fold, Plan
from unfreeze.images import row_statistics, store
from unfreeze.images.augment import Views
from unfreeze.models.backbone import Backbone
from unfreeze.models.table import row_of
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.runtime.background import beside
from unfreeze.settings.base import ByBackbone, PixelScaling
from unfreeze.settings.checks import CheckSettings
from unfreeze.settings.images import Augment
from unfreeze.settings.selection import param
from unfreeze.settings.training import Extract, Unfreeze


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    pixels: PixelScaling
    augment: Augment
    extract: Extract
    unfreeze: Unfreeze
    search_enabled: ByBackbone[bool] = param("search.enabled")
    checks: CheckSettings = param(
        "checks.dead_features", "checks.collapsed_features", "checks.pixel_scaling", "checks.uninformative_features"
    )


def fitting(plans: list[Plan], room: int) -> Plan:
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
            "activations behind %s would take %.1f GB, there is room for %.1f: %s",
            wanted.determined_by["cut"], wanted.nbytes / 1e9, room / 1e9,
            f"cut behind {plan.determined_by['cut']} instead, {plan.nbytes / 1e9:.1f} GB"
            if plan.stored else "nothing is stored, they are computed in every epoch",
        )  # fmt: skip
    return plan


def of_mean_one(weights: np.ndarray) -> np.ndarray:
    """Scale weights, so that a learning rate means what it does without them."""
    return (weights / weights.mean(dtype=np.float64)).astype(np.float32)


def load_probe() -> None:
    """Import what a probe needs, which takes a second."""
    from unfreeze.features import feature_space  # noqa: F401


def space_of(paths: Paths, backbone: str, seed: int) -> dict[str, Any] | None:
    """Return what the stored features are worth; None where there are none."""
    from unfreeze.features import feature_space

    of_images = pooled.read(paths, backbone)
    if of_images is None:
        return None
    return {
        "effective_dimensions": feature_space.effective_dimensions(of_images.vectors),
        "probe": feature_space.probe_skill(of_images.vectors, of_images.labels, of_images.groups, seed),
    }


def space_table(space: dict[str, Any] | None) -> pd.DataFrame:
    """Return the row that the gate judges, and none where nothing is stored."""
    columns = ["effective_dimensions", "probe_above_majority"]
    if space is None:
        return pd.DataFrame(columns=columns)
    probe = space["probe"]
    # A probe that could not be made says nothing against the features.
    above = probe["low"] - probe["majority"] if probe else 1.0
    return pd.DataFrame([[space["effective_dimensions"], above]], columns=columns)


def run(settings: Settings, paths: Paths, backbone: str) -> None:
    """Check what the backbone is fed, store its activations, and check them and the space they span."""
    with beside(gate.load_library, load_probe) as process:
        console.import_tensorflow()
        from unfreeze.models import pixel_check

        def judge(suite: str, table: pd.DataFrame, wanted: list[rules.Rule]) -> None:
            process.submit(gate.gate, f"{suite}_{backbone}", table, wanted, paths, backbone=backbone).result()

        network = Backbone(row_of(backbone), store.describe(paths.images).size, settings.pixels)
        fed = {"scaling_error": pixel_check.scaling_error(network), "fed": pixel_check.explain(network)}
        files.write_json(paths.selftest(backbone), fed)
        judge(
            "scaling",
            pd.DataFrame([{"fed": fed["fed"], "scaling_error": fed["scaling_error"]}]),
            rules.of_scaling(settings.checks),
        )
        batches = store_activations(settings, paths, network)
        # Both read all that is stored: one here, one beside.
        space = process.submit(space_of, paths, backbone, settings.seed)
        rows = row_statistics.by_row(batches).rename_axis("row").reset_index()
        judge("features", rows, rules.of_features(settings.checks))
        files.write_json(paths.selftest(backbone), {**fed, **(space.result() or {})})
        judge("space", space_table(space.result()), rules.of_feature_space(settings.checks))


def store_activations(settings: Settings, paths: Paths, network: Backbone) -> Iterable[np.ndarray]:
    """Cut before the deepest unfreeze point in use and store the activations there; the test fold is left alone.

    Returns:
        Batches of what was stored; of what is not, those of the validation fold, computed when they are asked for.
    """
    from unfreeze.models.engine import engine_of

    backbone = network.row.name
    images = store.describe(paths.images)
    network.base.load_weights(paths.weights(backbone))
    points: list[Any] = [settings.unfreeze.point.of(backbone)]
    if settings.search_enabled.of(backbone):
        points += network.candidates(settings.unfreeze.candidates.of(backbone)).values()
    folds = files.read_csv(paths.split)
    train = Views(paths.images, images.rows_of(folds, "train"), settings.augment, settings.seed)
    val = Views(paths.images, images.rows_of(folds, "val"), None, settings.seed)
    plan = cache.Plan(
        position=0,
        row_shape=(images.size, images.size, 3),
        dtype="uint8",
        train=Fold(train.rows, images.labels[train.rows], of_mean_one(images.weights[train.rows])),
        val=Fold(val.rows, images.labels[val.rows], np.ones(len(val.rows), np.float32)),
        classes=len(images.classes),
        determined_by={
            "images": images.digest,
            "weights": files.sha256(paths.weights(backbone)),
            "split": files.sha256(paths.split),
            "pixels": settings.pixels,
            "cut": "pixels",
        },
        settings=cache.Settings(seed=settings.seed, augment=settings.augment, extract=settings.extract),
    )
    plans = [
        replace(
            plan,
            position=cut,
            row_shape=tuple(operation.output.shape[1:]),
            dtype=settings.extract.dtype,
            determined_by={**plan.determined_by, "cut": operation.name},
        )
        if cut
        else plan
        for cut, operation in network.cuts_up_to(min(network.cut(point) for point in points))
    ]
    plan = fitting(plans, cache.room(paths.features(backbone), settings.extract.max_gb, copies=2))
    engine = engine_of(network.part(0, plan.position), settings.extract)
    plan = replace(plan, determined_by={**plan.determined_by, "engine": engine.name})
    with (
        cache.writing(paths.features(backbone), plan) as writer,
        console.progress(f"running {backbone}'s frozen layers on {engine.name}", plan.rows) as advance,
    ):
        advance(writer.done)
        size, first = engine.batch_size, len(train)
        pixels = chain(
            train.batches(size, done=min(writer.done, first)), val.batches(size, done=max(writer.done - first, 0))
        )
        for part in engine.run(pixels if plan.stored else ()):
            writer.append(part)
            advance(len(part))
    console.log.info("%s: cut behind %s, activations %s", backbone, plan.determined_by["cut"], plan.row_shape)
    cached = cache.read(paths.features(backbone), plan.determined_by)
    return cached.batches() if plan.stored else engine.run(val.batches(engine.batch_size))
