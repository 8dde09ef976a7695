"""Measure what a cluster gains and what it costs, into cluster.md.

python -m benchmarks.cluster [--inputs FOLDER] [--images N]

The nodes are processes on this machine, each with one processor, so there should be as many processors as nodes.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tests.cluster.ray_nodes import start_nodes

from benchmarks import inputs, measure
from unfreeze import files
from unfreeze.checks import manifest
from unfreeze.cluster.ray_cluster import RayCluster
from unfreeze.cluster.shards import Compute, Work
from unfreeze.cluster.storage import Storage
from unfreeze.images import store
from unfreeze.settings.checks import Limits
from unfreeze.settings.cluster import Cluster

PAGE = Path(__file__).with_name("cluster.md")
ROWS_PER_SHARD, SIDE, BATCH = 4096, 160, 8
LIMITS = Limits(on_bad="fail", max_megapixels=100, seconds_per_image=60, worker_gb=4, min_images_per_class=5)

TEXT = """# Many machines

Written by `make bench-cluster`. {machine}. Load average at the start: {load}.

{images:,} images, shards of {rows:,}; nodes of one processor each, on this machine. {rounds};
all times hold the start of processes, libraries and the compilation of networks.

| what | check | extract (MobileNetV2, {side} pixels) | goal |
|---|---|---|---|
| seconds of one process without a cluster | {check_local} | {extract_local} | |
| seconds of one node | {check_one} | {extract_one} | |
| seconds of two nodes | {check_two} | {extract_two} | |
| one node over two nodes | {check_gain} | {extract_gain} | at least 1.7 |
| one node over that process | {check_cost} | {extract_cost} | at most 1.05 |
"""


def main() -> None:
    """Measure and write the page."""
    options = _options()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-") as folder:
        scratch = Path(folder)
        images = sorted(path for path in inputs.find_images(options.inputs, scratch).rglob("*") if path.is_file())
        many = [images[number % len(images)] for number in range(options.images)]
        store.write(
            scratch / "images.h5", Path("/"), [str(path) for path in many], ["x"] * len(many),
            size=SIDE, max_pixels=LIMITS.max_pixels, manifest_sha256="",
        )  # fmt: skip
        works = {
            "check": Work("check", {}, (len(many),), partial(load_measures, many)),
            "extract": Work("extract", {}, (len(many),), partial(load_network, scratch / "images.h5")),
        }
        values = {
            name: text
            for stage, work in works.items()
            for name, text in describe(stage, [compare(work, scratch) for _ in range(options.rounds)]).items()
        }
    machine = ", ".join(measure.machine().values())
    files.write_text(
        options.page,
        TEXT.format(
            machine=machine, load=load, images=options.images, rows=ROWS_PER_SHARD, side=SIDE,
            rounds=name_rounds(options.rounds), **values,
        ),
    )  # fmt: skip


def name_rounds(count: int) -> str:
    """Say what the numbers are."""
    if count == 1:
        return "Measured once"
    return f"Medians of {count} rounds that take turns, with the smallest and the largest"


def compare(work: Work, scratch: Path) -> dict[str, float]:
    """Return the seconds that a work takes in one process, on one node and on two."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=compute_all, args=(work,))
    seconds = {"local": take_time(lambda: [process.start(), process.join()])}
    assert process.exitcode == 0
    for name, count in (("one", 1), ("two", 2)):
        with start_nodes(count), tempfile.TemporaryDirectory(dir=scratch) as shards:
            settings = Cluster(
                engine="ray", storage=None, rows_per_shard=ROWS_PER_SHARD, cpus_per_worker=1, tries=1, max_file_gb=1
            )
            here = RayCluster(settings, Storage(shards))
            seconds[name] = take_time(partial(here.iterate_rows, work))
    return seconds


def compute_all(work: Work) -> None:
    """Compute all rows on one processor; Ray's workers are bound to theirs, too."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for _ in work.load()(0, work.rows):
        pass


def take_time(rows: Callable[[], Iterable[Any]]) -> float:
    """Return the seconds until all rows are there."""
    begun = time.perf_counter()
    for _ in rows():
        pass
    return time.perf_counter() - begun


def load_measures(images: list[Path]) -> Compute:
    """Return what measures images as the stage `check` does."""
    return lambda start, stop: manifest.iterate_measures(images[start:stop], LIMITS)


def load_network(path: Path) -> Compute:
    """Return what runs MobileNetV2, with random weights, over a store of images."""
    from unfreeze.models.backbone import Backbone
    from unfreeze.models.engine import Engine
    from unfreeze.models.table import find_row

    network = Backbone(find_row("mobilenetv2"), SIDE)
    engine = Engine(network.build_part(0, network.find_cut("block_13_expand")), batch_size=BATCH)

    def compute(start: int, stop: int) -> Iterator[np.ndarray]:
        for rows in engine.run(store.read_batches(path, range(start, stop), BATCH)):
            yield rows.astype("float16")

    return compute


def describe(stage: str, rounds: list[dict[str, float]]) -> dict[str, str]:
    """Return medians with the smallest and the largest, as the page names them."""
    found: dict[str, list[float]] = {name: [one[name] for one in rounds] for name in ("local", "one", "two")}
    found["gain"] = [one["one"] / one["two"] for one in rounds]
    found["cost"] = [one["one"] / one["local"] for one in rounds]
    return {f"{stage}_{name}": _write(values) for name, values in found.items()}


def _write(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, default=Path("../shared"), help="folder of images, as of `make bench`")
    parser.add_argument("--images", type=int, default=16_384, help="how many; those that are there are taken in turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args()


if __name__ == "__main__":
    # Workers find functions by the name of their module.
    from benchmarks.cluster import main as main_by_name

    main_by_name()
