"""Run the frozen part of a backbone once over the training and the validation fold, and store what it gives."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import gate, rules
from unfreeze.features import cache, extraction, pooled
from unfreeze.features.plan import Settings as CacheSettings
from unfreeze.images import row_statistics, store
from unfreeze.images.augment import Views
from unfreeze.models.backbone import Backbone
from unfreeze.models.table import find_row
from unfreeze.paths import Paths
from unfreeze.records.selftest import SelfTest
from unfreeze.runtime import console
from unfreeze.settings.base import ByBackbone, PixelScaling
from unfreeze.settings.checks import CheckSettings
from unfreeze.settings.images import Augment
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.training import Extract, Unfreeze, UnfreezePoint


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    pixels: PixelScaling
    augment: Augment
    extract: Extract
    unfreeze: Unfreeze
    search_enabled: ByBackbone[bool] = declare_param("search.enabled")
    checks: CheckSettings = declare_param(
        "checks.dead_features", "checks.collapsed_features", "checks.pixel_scaling", "checks.uninformative_features"
    )


def measure_space(paths: Paths, backbone: str, seed: int, fed: SelfTest) -> SelfTest:
    """Add dimensions and probe of the stored features to what is known; nothing if none are stored."""
    from unfreeze.features import feature_space

    of_images = pooled.read(paths, backbone)
    if of_images is None:
        return fed
    vectors, labels, groups = of_images.vectors, of_images.labels, of_images.groups
    dimensions = feature_space.count_effective_dimensions(vectors)
    probe = feature_space.measure_probe_skill(vectors, labels, groups, seed)
    return fed.model_copy(update={"effective_dimensions": dimensions, "probe": probe})


def tabulate_space(known: SelfTest) -> pd.DataFrame:
    """Return the row that the gate validates; no row if nothing is stored."""
    columns = ["effective_dimensions", "probe_above_majority"]
    if known.effective_dimensions is None:
        return pd.DataFrame(columns=columns)
    # Without a probe there is no evidence against the features.
    above = known.probe.low - known.probe.majority if known.probe else 1.0
    return pd.DataFrame([[known.effective_dimensions, above]], columns=columns)


def run(settings: Settings, paths: Paths, backbone: str) -> None:
    """Check what the backbone is fed, store its activations, and check them and the space they span."""
    console.import_tensorflow()
    from unfreeze.models import pixel_check

    def judge(suite: str, table: pd.DataFrame, wanted: list[rules.Rule]) -> None:
        gate.enforce(f"{suite}_{backbone}", table, wanted, paths, backbone=backbone)

    network = Backbone(find_row(backbone), store.describe(paths.images).size, settings.pixels)
    fed = SelfTest(scaling_error=pixel_check.measure_scaling_error(network), fed=pixel_check.explain(network))
    fed.write(paths.selftest(backbone))
    judge(
        "scaling",
        pd.DataFrame([{"fed": fed.fed, "scaling_error": fed.scaling_error}]),
        rules.guard_scaling(settings.checks),
    )
    batches = store_activations(settings, paths, network)
    rows = row_statistics.measure_rows(batches).rename_axis("row").reset_index()
    judge("features", rows, rules.guard_features(settings.checks))
    known = measure_space(paths, backbone, settings.seed, fed)
    known.write(paths.selftest(backbone))
    judge("space", tabulate_space(known), rules.guard_feature_space(settings.checks))


def store_activations(settings: Settings, paths: Paths, network: Backbone) -> Iterable[np.ndarray]:
    """Cut before the deepest unfreeze point in use and store the activations there; the test fold is not read.

    Returns:
        Batches of the stored activations; if nothing is stored, those of the validation fold, computed when read.
    """
    from unfreeze.models.engine import make_engine

    backbone = network.row.name
    features = paths.features(backbone)
    network.base.load_weights(paths.weights(backbone))
    points: list[UnfreezePoint] = [settings.unfreeze.point.get(backbone)]
    if settings.search_enabled.get(backbone):
        points += network.list_candidates(settings.unfreeze.candidates.get(backbone)).values()
    images = store.describe(paths.images)
    folds = files.read_csv(paths.split)
    train = Views(paths.images, images.find_rows(folds, "train"), settings.augment, settings.seed)
    val = Views(paths.images, images.find_rows(folds, "val"), None, settings.seed)
    pixels = extraction.plan_pixels(
        images,
        train.rows,
        val.rows,
        CacheSettings(seed=settings.seed, augment=settings.augment, extract=settings.extract),
        {
            "images": images.digest,
            "weights": files.hash_file(paths.weights(backbone)),
            "split": files.hash_file(paths.split),
            "pixels": settings.pixels,
        },
    )
    cuts = network.list_cuts(min(network.find_cut(point) for point in points))
    room = cache.measure_room(features, settings.extract.max_gb, copies=2)
    plan = extraction.choose_plan(extraction.list_plans(pixels, cuts), room)
    engine = make_engine(network.build_part(0, plan.position), settings.extract)
    plan = replace(plan, determined_by={**plan.determined_by, "engine": engine.name})
    title = f"running {backbone}'s frozen layers on {engine.name}"
    extraction.write_activations(features, plan, engine.run, train, val, batch_size=engine.batch_size, title=title)
    console.log.info("%s: cut behind %s, activations %s", backbone, plan.determined_by["cut"], plan.row_shape)
    cached = cache.read(features, plan.determined_by)
    return cached.iterate_batches() if plan.stored else engine.run(val.iterate_batches(engine.batch_size))
