"""Run the frozen part of a backbone once over the training and the validation fold, and store what it gives."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.checks import gate, rules
from unfreeze.cluster.shards import Cluster, Compute, Work, find_code_digest, name_images, require_same
from unfreeze.features import cache, choice, extraction, pooled
from unfreeze.features.plan import Plan
from unfreeze.features.plan import Settings as CacheSettings
from unfreeze.images import row_statistics, store
from unfreeze.images.augment import Views
from unfreeze.models.backbone import Backbone
from unfreeze.models.table import find_row
from unfreeze.paths import Paths
from unfreeze.records.selftest import SelfTest
from unfreeze.runtime import console
from unfreeze.runtime.background import start_helper
from unfreeze.settings.base import ByBackbone, PixelScaling
from unfreeze.settings.checks import CheckSettings
from unfreeze.settings.images import Augment
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.training import Extract, Unfreeze, UnfreezePoint

if TYPE_CHECKING:
    from unfreeze.models.engine import Engine


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
    max_file_gb: float = declare_param("cluster.max_file_gb")


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


def run(settings: Settings, paths: Paths, backbone: str, cluster: Cluster) -> None:
    """Check what the backbone is fed, store its activations, and check them and the space they span."""
    with start_helper(gate.load_library) as process:
        console.import_tensorflow()
        from unfreeze.models import pixel_check

        def judge(suite: str, table: pd.DataFrame, wanted: list[rules.Rule]) -> None:
            process.submit(gate.enforce, f"{suite}_{backbone}", table, wanted, paths, backbone=backbone).result()

        network = build_network(settings, paths, backbone)
        fed = SelfTest(scaling_error=pixel_check.measure_scaling_error(network), fed=pixel_check.explain(network))
        fed.write(paths.selftest(backbone))
        judge(
            "scaling",
            pd.DataFrame([{"fed": fed.fed, "scaling_error": fed.scaling_error}]),
            rules.guard_scaling(settings.checks),
        )
        batches = store_activations(settings, paths, network, cluster)
        rows = row_statistics.measure_rows(batches).rename_axis("row").reset_index()
        judge("features", rows, rules.guard_features(settings.checks))
        known = measure_space(paths, backbone, settings.seed, fed)
        known.write(paths.selftest(backbone))
        judge("space", tabulate_space(known), rules.guard_feature_space(settings.checks))


@dataclass(frozen=True)
class Extraction:
    """The frozen layers of a backbone and the images that they run over.

    Args:
        plan: What is stored.
        engine: Runs the layers.
        train: Pixels of the training fold.
        val: Pixels of the validation fold; the test fold is not read.
    """

    plan: Plan
    engine: "Engine"
    train: Views
    val: Views

    def compute(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """Yield activations from one row up to another, in the precision in which they are stored."""
        size, first = self.engine.batch_size, len(self.train)
        pixels = chain(
            self.train.iterate_batches(size, min(start, first), min(stop, first)),
            self.val.iterate_batches(size, max(start - first, 0), max(stop - first, 0)),
        )
        for rows in self.engine.run(pixels):
            yield cache.narrow(rows, self.plan.dtype)


def prepare(settings: Settings, paths: Paths, network: Backbone, position: int | None = None) -> Extraction:
    """Choose where a backbone is cut, and compile the part before.

    Args:
        settings: Those of the stage.
        paths: The checkout.
        network: The backbone.
        position: Where it is cut; by default before the deepest unfreeze point in use, further ahead where there is
            no room for so many activations, and at the pixels where activations do not pay.
    """
    from unfreeze.models.engine import make_pixel_engine

    backbone = network.row.name
    network.load_weights(paths.weights(backbone))
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
    plans = extraction.list_plans(pixels, network.list_cuts(_find_last_cut(settings, network)))
    wanted = plans[-1]
    macs = network.count_macs(0, wanted.position)
    stored = choice.pays(macs, wanted.row_bytes, pixels.row_bytes)
    if not stored:
        plans = [pixels]
    if position is None:
        if wanted is not pixels:
            name = wanted.determined_by["cut"]
            console.log.info(choice.explain(backbone, name, macs, wanted.row_bytes, wanted.rows, stored=stored))
        room = cache.measure_room(paths.features(backbone), settings.extract.max_gb, copies=2)
        plan = extraction.choose_plan(plans, room)
    else:
        plan = next(plan for plan in plans if plan.position == position)
    part = network.build_part(0, plan.position)
    engine = make_pixel_engine(part, settings.extract, paths.images, train.images)
    plan = replace(plan, determined_by=plan.determined_by | engine.describe())
    return Extraction(plan, engine, train, val)


def _find_last_cut(settings: Settings, network: Backbone) -> int:
    """Return the place before the deepest unfreeze point in use."""
    backbone = network.row.name
    points: list[UnfreezePoint] = [settings.unfreeze.point.get(backbone)]
    if settings.search_enabled.get(backbone):
        points += network.list_candidates(settings.unfreeze.candidates.get(backbone)).values()
    return min(network.find_cut(point) for point in points)


def build_network(settings: Settings, paths: Paths, backbone: str) -> Backbone:
    """Return a backbone for images of the size of the store, without weights."""
    return Backbone(find_row(backbone), store.describe(paths.images).size, settings.pixels)


def load_compute(
    settings: Settings, paths: Paths, backbone: str, position: int, determined_by: dict[str, str]
) -> Compute:
    """Return what computes rows of the activations on another machine.

    Args:
        settings: Those of the stage.
        paths: The checkout, which all machines see.
        backbone: Name of the backbone.
        position: Where it is cut.
        determined_by: As in `Plan`.

    Raises:
        UnfreezeError: Images, weights, split or engine are others there.
    """
    console.import_tensorflow()
    prepared = prepare(settings, paths, build_network(settings, paths, backbone), position)
    require_same(determined_by, prepared.plan.determined_by)
    return prepared.compute


def describe_work(settings: Settings, paths: Paths, backbone: str, prepared: Extraction) -> Work:
    """Return the rows that are stored, as work that can be divided."""
    plan = prepared.plan
    return Work(
        f"extract@{backbone}",
        {
            **plan.determined_by,
            "code": find_code_digest(paths, "extract"),
            "settings": plan.settings.model_dump(mode="json"),
        },
        (*prepared.train.segments, *prepared.val.segments) if plan.stored else (),
        partial(load_compute, settings, paths, backbone, plan.position, plan.determined_by),
        prepared.compute,
        partial(_name_rows, paths, np.concatenate([prepared.train.rows, prepared.val.rows])),
    )


def _name_rows(paths: Paths, rows: np.ndarray, start: int, stop: int) -> str:
    ids = store.describe(paths.images).ids
    return name_images([ids[row] for row in rows[start:stop]], 0, stop - start)


def list_works(settings: Settings, paths: Paths, backbone: str) -> list[Work]:
    """Return what the stage computes, as work that can be divided."""
    console.import_tensorflow()
    network = build_network(settings, paths, backbone)
    return [describe_work(settings, paths, backbone, prepare(settings, paths, network))]


def store_activations(settings: Settings, paths: Paths, network: Backbone, cluster: Cluster) -> Iterable[np.ndarray]:
    """Run the frozen layers over both folds and store what they give.

    Returns:
        Batches of the stored activations; if nothing is stored, those of the validation fold, computed when read.
    """
    backbone = network.row.name
    features = paths.features(backbone)
    prepared = prepare(settings, paths, network)
    plan, engine = prepared.plan, prepared.engine
    work = describe_work(settings, paths, backbone, prepared)
    extraction.write_activations(
        features,
        plan,
        lambda done: cluster.iterate_rows(work, done),
        title=f"running {backbone}'s frozen layers on {engine.name}",
        max_file_bytes=int(settings.max_file_gb * 1e9),
    )
    console.log.info("%s: cut behind %s, activations %s", backbone, plan.determined_by["cut"], plan.row_shape)
    cached = cache.read(features, plan.determined_by)
    return cached.iterate_batches() if plan.stored else engine.run(prepared.val.iterate_batches(engine.batch_size))
