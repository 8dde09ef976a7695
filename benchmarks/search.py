"""Measure what a search costs and what unfreezing is worth, into search.json and docs/search.md.

    python -m benchmarks.search [--inputs FOLDER] [--only PART ...]

Parts are named as `parts` has them. One that is there is not measured again.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from benchmarks import inputs, measure, pages, pipeline
from benchmarks.inputs import Case
from benchmarks.opponent import measure_guide
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.settings.params import load

RESULTS = Path(__file__).parent / "search.json"
PAGE = inputs.ROOT / "docs/search.md"

# Of what is not timed.
QUICK_PRECISION = "bfloat16"

# What a search finds at a larger size: accuracy comes from there, not from more trials. By images the backbone, and
# its settings; solar cells are unlike ImageNet's photographs, so there more of the backbone has to learn.
FOUND = {
    "4,000 cats and dogs": (
        "xception",
        "preprocess.image_size=224",
        "unfreeze.candidates.default=[none,block14_sepconv2,block14_sepconv1]",
        "search.max_trials=6",
        "search.epochs=3",
    ),
    "elpv": (
        "efficientnetv2b0",
        "preprocess.image_size=128",
        "augment.views=2",
        "augment.vertical_flip=true",
        "unfreeze.point.default=all",
        "unfreeze.candidates.default=[{share: 0.8},all]",
        "search.max_trials=2",
        "search.epochs=1",
        "train.finetune.default.epochs=4",
    ),
}

# The search that is timed: the head alone, and one to four of the top separable convolutions.
POINTS = ("none", "block14_sepconv2", "block14_sepconv1", "block13_sepconv2", "block13_sepconv1")
TRIALS = 20
EPOCHS = 3
# Epochs of the guide's way that are timed, for an epoch of a trial; the first also builds the graph.
GUIDE_EPOCHS = 2

# Of every backbone: nothing, its top blocks, most of its parameters, everything.
WORTH_POINTS = ("none", "{blocks: 1}", "{blocks: 2}", "{share: 0.8}", "all")
WORTH_EPOCHS = 2
# Small, so that VGG16 as a whole trains within minutes.
WORTH_SIZE = 96

# Two trials at once against one, each with a processor of its own.
WORKERS_TRIALS = 9

# Trials of the search whose memory is watched, from points whose own needs differ.
MEMORY_POINTS = "[none,{blocks: 1},{blocks: 2}]"


def main() -> None:
    """Measure the parts that are asked for."""
    options = _options()
    with pages.session(partial(pages.begun, RESULTS), options.inputs, options.scratch) as (given, results, scratch):
        for title, part in parts(given).items():
            wanted = any(title.startswith(only) for only in options.only)
            if wanted and title not in results:
                results[title] = part(scratch)
                files.write_json(RESULTS, results)
                write_page(results)


def parts(given: inputs.Inputs) -> dict[str, Callable[[Path], Any]]:
    """Return what can be measured with some inputs, by name; each takes a folder for its clones."""
    sets: dict[str, Path | None] = {given.name: given.images, "elpv": None}
    cases = {case.name: case for case in given.pretrained}
    xception, smallest = given.pretrained[0], given.pretrained[-1]
    return {
        **{f"found {name}": partial(found, cases[FOUND[name][0]], name, images) for name, images in sets.items()},
        **{
            f"unfreezing {case.name} {name}": partial(unfreezing, case, name, images)
            for case in given.pretrained
            for name, images in sets.items()
        },
        "full": partial(search, xception, given.images, "random"),
        "hyperband": partial(search, xception, given.images, "hyperband"),
        "memory": partial(memory, smallest, given.images),
        "workers": partial(workers, smallest, given.images),
        # The first point that unfreezes anything, and the last.
        **{f"guide {point}": partial(guide, xception, point, given) for point in (POINTS[1], POINTS[-1])},
    }


def found(case: Case, name: str, images: Path | None, scratch: Path) -> dict[str, Any]:
    """Search, fine-tune the winner and score it on the test images."""
    case = replace(case, precision=QUICK_PRECISION)
    settings = FOUND[name][1:]
    paths = pipeline.clone(scratch / "found", [*pipeline.settings_of(case, images), *settings])
    measure.run(["dvc", "repro", f"evaluate@{case.name}"], folder=paths.root)
    record, scores = (files.read_json(path(case.name)) for path in (paths.training, paths.evaluation))
    return {
        "backbone": case.name,
        "images": name,
        "settings": list(settings),
        **{key: record[key] for key in ("unfreeze_from", "learning_rate")},
        "accuracy": scores["accuracy"],
        "test_images": scores["images"],
    }


def unfreezing(case: Case, name: str, images: Path | None, scratch: Path) -> dict[str, Any]:
    """Fine-tune a backbone from several points."""
    case = replace(case, precision=QUICK_PRECISION)
    paths = pipeline.clone(
        scratch / "unfreezing",
        [
            *pipeline.settings_of(case, images),
            f"preprocess.image_size={WORTH_SIZE}",
            "unfreeze.point.default=all",
            "search.enabled.default=false",
        ],
    )
    measure.run(["dvc", "repro", f"extract@{case.name}"], folder=paths.root)
    command = [sys.executable, "-m", "benchmarks.unfreezing", str(paths.root), case.name, str(WORTH_EPOCHS)]
    taken = measure.run([*command, *WORTH_POINTS], folder=inputs.ROOT)
    return {
        "backbone": case.name,
        "images": name,
        "validation_images": _validation_images(paths),
        "learning_rate": load(paths.params).train.finetune.get(case.name).learning_rate,
        "rows": json.loads(taken.lines[-1][1]),
    }


def guide(case: Case, point: str, given: inputs.Inputs, scratch: Path) -> dict[str, Any]:
    """Time a trial the guide's way."""
    _, said = measure_guide(replace(case, point=point), given, head_epochs=1, epochs=GUIDE_EPOCHS)
    return {
        "unfreeze_from": point,
        "epoch_seconds": said["fine_tune_s"] / GUIDE_EPOCHS,
        "head_epoch_seconds": said["head_s"],
    }


def memory(case: Case, images: Path, scratch: Path) -> dict[str, Any]:
    """Watch the memory of one search's process over its trials."""
    paths = pipeline.clone(
        scratch / "memory",
        [
            *pipeline.settings_of(case, images),
            f"unfreeze.candidates.default={MEMORY_POINTS}",
            f"search.max_trials={TRIALS}",
            "search.epochs=1",
        ],
    )
    measure.run(["dvc", "repro", f"search@{case.name}"], folder=paths.root)
    runs = _trial_runs(paths)
    trials = files.read_json(paths.search(case.name))["trials"]
    rows = [(trial["unfreeze_from"], runs[f"trial {trial['trial']}"].data.metrics["peak_mb"]) for trial in trials]
    return {"backbone": case.name, "rows": [{"unfreeze_from": point, "peak_mb": peak} for point, peak in rows]}


def workers(case: Case, images: Path, scratch: Path) -> dict[str, Any]:
    """Run one search one trial after another on one processor, then two at a time on one processor each."""
    settings = [
        *pipeline.settings_of(case, images),
        "unfreeze.candidates.default=[{blocks: 1}]",
        f"search.max_trials={WORKERS_TRIALS}",
        "search.epochs=3",
    ]
    seconds = {}
    for count in (1, 2):
        # A clone each: MLflow's client goes on reading a ledger that it has opened, even once that is another file.
        paths = pipeline.clone(scratch / f"workers_{count}", [*settings, f"search.at_once={count}"])
        measure.run(["dvc", "repro", f"extract@{case.name}"], folder=paths.root)
        command = ["taskset", "--cpu-list", f"0-{count - 1}", "unfreeze", "search", case.name]
        seconds[count] = measure.run(command, folder=paths.root).seconds
    return {"backbone": case.name, "trials": WORKERS_TRIALS, "one": seconds[1], "two": seconds[2]}


def search(case: Case, images: Path, oracle: str, scratch: Path) -> dict[str, Any]:
    """Search in a new clone, from images to the winner."""
    paths = pipeline.clone(
        scratch / oracle,
        [
            *pipeline.settings_of(case, images),
            f"unfreeze.candidates.default=[{','.join(POINTS)}]",
            f"search.oracle={oracle}",
            f"search.max_trials={TRIALS}",
            f"search.epochs={EPOCHS}",
        ],
    )
    taken = measure.run(["dvc", "repro", f"search@{case.name}"], folder=paths.root)
    runs = _trial_runs(paths)
    trials = []
    found = files.read_json(paths.search(case.name))["trials"]
    for trial in found:
        logged = runs[f"trial {trial['trial']}"].data.metrics
        kept = ("trial", "unfreeze_from", "continues", "score", "val_loss", "val_accuracy")
        inherited = 0 if trial["continues"] is None else len(found[trial["continues"]]["epochs"])
        trials.append(
            {
                **{name: trial[name] for name in kept},
                "learning_rate": trial["settings"]["learning_rate"],
                "epochs": len(trial["epochs"]),
                "epochs_of_its_own": len(trial["epochs"]) - inherited,
                "seconds": logged["seconds"],
            }
        )
    return {
        "seconds": taken.seconds,
        "stages": pipeline.stage_seconds(taken),
        "trials": trials,
        "validation_images": _validation_images(paths),
    }


def write_page(results: dict[str, Any]) -> None:
    """Write docs/search.md from what is measured so far."""
    pages.write("search.md.j2", PAGE, summary(results))


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows: the measurements, and how many times faster a search is than the guide's trials.

    The guide's way counts as little as it can: the head, which all trials could share, once, and of a trial its
    epochs alone, without its start and without a test. An epoch from `none` is one of the head.
    """

    def measured(kind: str) -> list[Any]:
        return [result for title, result in sorted(results.items()) if title.startswith(f"{kind} ")]

    guide = measured("guide")
    head, tuned = (
        sum(trial[name] for trial in guide) / max(len(guide), 1) for name in ("head_epoch_seconds", "epoch_seconds")
    )
    guide_seconds = EPOCHS * (head + TRIALS * (head + (len(POINTS) - 1) * tuned) / len(POINTS))
    searches = {name: _search_summary(results[name]) for name in ("full", "hyperband") if name in results}
    for one in searches.values():
        one["ratio"] = guide_seconds / one["seconds"] if guide else None
    return {
        "machine": results["machine"],
        "found": measured("found"),
        "unfreezing": measured("unfreezing"),
        "worth_epochs": WORTH_EPOCHS,
        "worth_size": WORTH_SIZE,
        "worth_precision": QUICK_PRECISION,
        "searches": searches,
        "guide": guide,
        "guide_seconds": guide_seconds,
        "images": results["images"],
        "points": POINTS,
        "trials": TRIALS,
        "epochs": EPOCHS,
        "size": pipeline.SIZE,
        "workers": results.get("workers"),
        "memory": _memory_summary(results["memory"]) if "memory" in results else None,
        "half_width": pages.half_width,
    }


def _search_summary(search: dict[str, Any]) -> dict[str, Any]:
    trials = search["trials"]
    best = min(trials, key=lambda trial: trial["score"])
    return {
        **search,
        "best": best,
        "half_width": pages.half_width(best["val_accuracy"], images=search["validation_images"]),
        "epochs": sum(trial["epochs_of_its_own"] for trial in trials),
    }


def _memory_summary(memory: dict[str, Any]) -> dict[str, Any]:
    """Add, of trials from the same point, the peak of the last over that of the first: deeper ones take more."""
    peaks: dict[str, list[float]] = {}
    for row in memory["rows"]:
        peaks.setdefault(row["unfreeze_from"], []).append(row["peak_mb"])
    points = [
        {"unfreeze_from": point, "trials": len(of_point), "first": of_point[0], "last": of_point[-1]}
        for point, of_point in peaks.items()
    ]
    return {**memory, "points": points, "ratio": max(point["last"] / point["first"] for point in points)}


def _trial_runs(paths: Paths) -> dict[str, Any]:
    """Return the runs of a clone's trials by name."""
    client = mlflow.MlflowClient(f"sqlite:///{paths.root}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'unfreeze'")
    runs = client.search_runs([experiment.experiment_id], filter_string="run_name LIKE 'trial %'")
    return {run.info.run_name: run for run in runs}


def _validation_images(paths: Paths) -> int:
    return int((pd.read_csv(paths.split)["fold"] == "val").sum())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, default=Path("inputs"), help="folder with images, weights, opponent")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="PART", help="what to measure: beginnings of names"
    )
    parser.add_argument("--scratch", type=Path, help="where clones are made; several GB")
    return parser.parse_args()


if __name__ == "__main__":
    main()
