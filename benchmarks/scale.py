"""Measure how stages grow, into scale.md: up to real images by the 100,000, then with generated rows.

python -m benchmarks.scale [--real N [N ...]] [--images N [N ...]] [--keep SECTION [SECTION ...]]

The rows are measures of images, generated as finished shards, and the images are hard links to a few: so a million
rows need neither a million photographs nor the hours that measuring them takes. `later_stages` generates what the
stages after `split` read.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks import growth, later_stages, measure, pipeline
from unfreeze import files
from unfreeze.checks import manifest
from unfreeze.cluster.shards import plan_shards
from unfreeze.cluster.storage import Storage
from unfreeze.paths import Paths
from unfreeze.settings.params import load
from unfreeze.settings.stage_settings import select
from unfreeze.stages import check

PAGE = Path(__file__).with_name("scale.md")
CLASSES, SIDE = 10, 64
# A file system counts the names of a file: ext4 takes 65,000.
NAMES_OF_A_FILE = 60_000
# One image of a hundred has a near copy: its hash differs in one bit.
IMAGES_A_COPY = 100
STAGES = ("check", "split")
# All up to a model and its scores; each reads all images, or a row of each.
REAL = ("download", "check", "preprocess", "split", "extract", "search", "finetune", "package", "evaluate")
REAL_SETTINGS = (
    "study=quick", "study.backbones=[mobilenetv2]", "study.baseline=mobilenetv2", "+weights.mobilenetv2=random",
    "data=folder", f"preprocess.image_size={SIDE}", "search.enabled.default=false",
    "train.head.default.epochs=3", "train.head.default.patience=null",
    "train.finetune.default.epochs=1", "train.finetune.default.patience=null", "evaluate.corruption_images=0",
)  # fmt: skip

# Images of the study whose records the later stages read.
SMALL = 400
SECTIONS = ("Images", "Rows", "Later stages")

HEADER = """# How a study grows

Written by `make bench-scale`. {machine}. Each stage ran once, in a process of its
own; seconds count its start.
"""

IMAGES = """
Load average at the start: {load}. Noise of {side} pixels in {classes} classes; MobileNetV2 with random weights, three
epochs of the head and one of fine-tuning. The start is the seconds that a line through the times gives for no image;
the deviation is the largest of a time from that line.

| stage | {real_images} | start | seconds for 10,000 more | deviation | memory, MB |
|---|{real_lines}---|---|---|---|
{rows}
"""

ROWS = """
Load average at the start: {load}. Generated: measures of images of {side} pixels in {classes} classes, of which one
in {copies} has a near copy.

| images | {stages} |
|---|{lines}|
{rows}
"""

LATER = """
Load average at the start: {load}. Generated: a manifest, folds of 60, 20 and 20 %, activations of {width} numbers, of
which a sample of 200,000 is read, and predictions of {backbones} backbones; models and other records are those of a
study of {small} images.

| stage | {images} |
|---|{lines}|
{rows}
"""


def main() -> None:
    """Measure and write the page."""
    options = _options()
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    values: dict[str, Any] = {"load": load_average, "side": SIDE, "classes": CLASSES, "copies": IMAGES_A_COPY}
    sections = read_sections(options.page.read_text()) if options.keep else {}
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-", dir=options.folder) as folder:
        if "Images" not in options.keep:
            real = [(images, run_study(Path(folder), images)[1]) for images in options.real]
            numbers = " | ".join(f"{images:,}" for images in options.real)
            lines = "---|" * len(options.real)
            rows = describe_growth(real)
            sections["Images"] = IMAGES.format(**values, real_images=numbers, real_lines=lines, rows=rows)
        if "Rows" not in options.keep:
            runs = [(images, run_stages(Path(folder), images)) for images in options.images]
            sections["Rows"] = ROWS.format(
                **values,
                stages=" | ".join(f"{stage}: seconds | memory, MB" for stage in STAGES),
                lines="|".join("---|---" for _ in STAGES),
                rows="\n".join(describe(f"{images:,}", of_stages.values()) for images, of_stages in runs),
            )
        if "Later stages" not in options.keep:
            small, _ = run_study(Path(folder), SMALL)
            runs = [(images, run_later_stages(Path(folder), images, small)) for images in options.images]
            sections["Later stages"] = describe_later_stages(load_average, runs)
    files.write_text(options.page, write_page(sections))


def describe_later_stages(load_average: str, runs: list[tuple[int, dict[str, measure.Run]]]) -> str:
    """Return the section of the later stages.

    Args:
        load_average: Of the machine at the start.
        runs: What each stage took, by number of images.
    """
    taken = {stage: [of_stages[stage] for _, of_stages in runs] for stage in later_stages.STAGES}
    return LATER.format(
        load=load_average,
        width=later_stages.WIDTH,
        backbones=len(later_stages.BACKBONES),
        small=SMALL,
        images=" | ".join(f"{images:,}: seconds | memory, MB" for images, _ in runs),
        lines="|".join("---|---" for _ in runs),
        rows="\n".join(describe(stage.split()[0], of_stage) for stage, of_stage in taken.items()),
    )


def read_sections(page: str) -> dict[str, str]:
    """Return the text of each section of the page by its title."""
    return {title: f"\n{text.strip()}\n" for title, text in (part.split("\n", 1) for part in page.split("\n## ")[1:])}


def write_page(sections: dict[str, str]) -> str:
    """Return the page.

    Args:
        sections: The text of each section by its title.
    """
    header = HEADER.format(machine=", ".join(measure.machine().values()))
    return header + "".join(f"\n## {title}\n{sections[title]}" for title in SECTIONS)


def run_study(folder: Path, images: int) -> tuple[Paths, dict[str, measure.Run]]:
    """Run a study of so many images of noise; return it, and what each stage took."""
    source = folder / f"noise_{images}"
    random = np.random.default_rng(images)
    for number in range(images):
        path = source / f"class_{number % CLASSES}" / f"{number:08}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
    paths = pipeline.clone(folder / f"study_{images}", [*REAL_SETTINGS, f"data.source={source}"])
    for stage in ("code", "validate", "pretrained mobilenetv2"):
        measure.run([".venv/bin/unfreeze", *stage.split()], folder=paths.root)
    of_backbone = ("extract", "search", "finetune", "package", "evaluate")
    return paths, {
        stage: measure.run(
            [".venv/bin/unfreeze", stage, *(["mobilenetv2"] if stage in of_backbone else [])], folder=paths.root
        )
        for stage in REAL
    }


def describe_growth(runs: list[tuple[int, dict[str, measure.Run]]]) -> str:
    """Return the rows of the table of real images, the last one for all stages together."""
    rows = []
    for stage in (*REAL, "all"):
        taken = [
            {
                "images": images,
                "seconds": sum(run.seconds for name, run in study.items() if stage in (name, "all")),
                "peak_mb": max(run.peak_mb for name, run in study.items() if stage in (name, "all")),
            }
            for images, study in runs
        ]
        line = growth.fit(taken)
        seconds = " | ".join(f"{one['seconds']:.1f}" for one in taken)
        rows.append(
            f"| {stage} | {seconds} | {line['start_seconds']:.1f} | {1e4 * line['seconds_per_image']:.1f} "
            f"| {line['largest_deviation']:.0%} | {taken[-1]['peak_mb']:,.0f} |"
        )
    return "\n".join(rows)


def run_stages(folder: Path, images: int) -> dict[str, measure.Run]:
    """Return what each stage takes for so many images."""
    paths = make_study(folder / f"scale_{images}", images, ["study=quick"])
    call_apart(write_measures, paths)
    return {stage: measure.run([".venv/bin/unfreeze", stage], folder=paths.root) for stage in STAGES}


def run_later_stages(
    folder: Path, images: int, small: Paths, stages: Sequence[str] = later_stages.STAGES
) -> dict[str, measure.Run]:
    """Return what each of the later stages takes for so many images.

    Args:
        folder: Where to work.
        images: How many.
        small: The study whose records they read.
        stages: Those to run.
    """
    names = ",".join(later_stages.BACKBONES)
    paths = make_study(folder / f"later_{images}", images, ["study=quick", f"study.backbones=[{names}]"])
    call_apart(later_stages.generate, small, paths)
    return {stage: measure.run([".venv/bin/unfreeze", *stage.split()], folder=paths.root) for stage in stages}


def make_study(folder: Path, images: int, settings: list[str]) -> Paths:
    """Make a clone with so many images and their index.

    Args:
        folder: Where; something is added to its name.
        images: How many.
        settings: Those of the study.
    """
    paths = pipeline.clone(folder, [*settings, "data=folder", "data.source=data/raw"])
    call_apart(write_inputs, paths, images)
    # They write code/ and data/image_checks.json, which the stages read.
    for stage in ("code", "validate"):
        measure.run([".venv/bin/unfreeze", stage], folder=paths.root)
    return paths


def call_apart(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function in a process of its own: Linux counts what this one held to those that it starts later."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(function, *arguments).result()


def write_inputs(paths: Paths, count: int) -> None:
    """Write so many images and their index."""
    write_index(paths, write_images(paths, count))


def write_images(paths: Paths, count: int) -> list[str]:
    """Write so many images, links to a few files, and return their paths below data/raw."""
    names = []
    for number in range(count):
        folder = paths.raw / f"class_{number % CLASSES}" / f"{number // 10_000:04}"
        if not number % NAMES_OF_A_FILE:
            file = paths.root / f"image_{number}.jpg"
            pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(file)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:08}.jpg"
        path.hardlink_to(file)
        names.append(str(path.relative_to(paths.raw)))
    return names


def write_index(paths: Paths, names: list[str]) -> None:
    """Write what the stage `download` writes."""
    labels = [name.partition("/")[0] for name in names]
    files.write_csv(paths.raw_index, pd.DataFrame({"path": names, "label": labels}))


def write_measures(paths: Paths) -> None:
    """Write finished shards of measures, so that `check` measures nothing."""
    params = load(paths.params)
    (work,) = check.list_works(select(params, check.Settings), paths)
    storage = Storage(str(paths.shards))
    sample = next(paths.root.glob("image_*.jpg"))
    row = manifest.measure_image(sample, max_pixels=SIDE**2, checkout=paths.root)
    random = np.random.default_rng(0)
    for shard in plan_shards(work, params.cluster.rows_per_shard):
        storage.write(shard, vary(row, shard.stop - shard.start, random))


def vary(row: dict[str, Any], count: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield measures of other images, as `manifest.iterate_measures` does."""
    hashes = random.integers(0, 2**64, count, dtype=np.uint64)
    hashes[1::IMAGES_A_COPY] = hashes[: len(hashes[1::IMAGES_A_COPY]) * IMAGES_A_COPY : IMAGES_A_COPY] ^ np.uint64(1)
    rows = []
    for value in hashes.tolist():
        digest = random.bytes(32).hex()
        changed = {
            "sha256": digest, "pixels_sha256": digest[::-1], "perceptual_hash": f"{value:016x}",
            "brightness": float(random.normal(120, 20)),
        }  # fmt: skip
        rows.append(json.dumps({**row, **changed}, default=lambda value: value.item()).encode())
    yield np.array(rows)


def describe(name: str, runs: Iterable[measure.Run]) -> str:
    """Return a row of a table."""
    cells = " | ".join(f"{run.seconds:.0f} | {run.peak_mb:,.0f}" for run in runs)
    return f"| {name} | {cells} |"


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=int, nargs="+", default=[4_000, 20_000, 100_000])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where to work, 10 GB; the system's by default")
    parser.add_argument(
        "--keep", nargs="*", choices=SECTIONS, default=[], metavar="SECTION",
        help=f"what stays as the page has it: {', '.join(SECTIONS)}",
    )  # fmt: skip
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args()


if __name__ == "__main__":
    main()
