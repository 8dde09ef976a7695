"""The page of results, made from results.json."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks import growth, pages, pipeline

PAGE = Path(__file__).with_name("results.md")
# Of all images, as the split stage and the guide share them out.
TRAIN, VAL, TEST = 0.6, 0.2, 0.2


def write(of_kinds: Sequence[dict[str, Any]]) -> None:
    """Write results.md.

    Args:
        of_kinds: The measurements of each kind of processor.
    """
    values = {"kinds": [_fill(results) for results in of_kinds], "epochs": pipeline.EPOCHS, "size": pipeline.SIZE}
    pages.write("results.md.j2", PAGE, values)


def _fill(results: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of one kind of processor."""
    cases = [
        summary(title, runs, results["limits"].get(title))
        for title, runs in sorted(results["runs"].items())
        if runs["ours"] and runs["guide"]
    ]
    rows = results["growth"].get("rows", [])
    return {
        "results": results,
        "cases": cases,
        "commits": sorted({run["commit"] for runs in results["runs"].values() for run in runs["ours"]}),
        "growth_rows": rows,
        "growth": growth.fit(rows) if len(rows) > 2 else None,
    }


def summary(title: str, runs: dict[str, Any], limits: dict[str, Any] | None) -> dict[str, Any]:
    """Return a case's medians, ratios and bound."""
    ours, guide = runs["ours"], runs["guide"]

    def median(rows: list[dict[str, Any]], name: str) -> float:
        return statistics.median(row[name] for row in rows)

    result: dict[str, Any] = {
        "title": title,
        "point": runs["point"],
        "floor": runs["floor"],
        "repeats": min(len(ours), len(guide)),
        "ours": {name: median(ours, name) for name in ("seconds", "epoch_seconds", "accuracy", "peak_mb")},
        "guide": {name: median(guide, name) for name in ("seconds", "epoch_seconds", "accuracy", "peak_mb")},
    }
    result["ratio"] = result["guide"]["seconds"] / result["ours"]["seconds"]
    result["epoch_ratio"] = result["guide"]["epoch_seconds"] / result["ours"]["epoch_seconds"]
    result["difference"] = result["ours"]["accuracy"] - result["guide"]["accuracy"]
    result["interval"] = pages.half_width(
        result["ours"]["accuracy"], result["guide"]["accuracy"], images=ours[0]["test_images"]
    )
    if limits:
        result["limits"] = limits
        result["bound"] = bound(limits, round(ours[0]["test_images"] / TEST), ours)
    measured = [run for run in ours if run.get("parts")]
    if measured:
        result["seconds_of"] = divide_seconds(measured)
    return result


def divide_seconds(ours: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return where the seconds of a run go, stage by stage, and in all: the medians of the runs.

    `start` is the start of the stage's process and of its libraries, `work` its own work, and `dvc` what DVC does
    before and after it. `processor` is the processor time of a stage's processes, without those that
    measure single images; in all it includes DVC's.

    Args:
        ours: Runs with their parts.
    """

    def median(name: str, part: str) -> float:
        return statistics.median(run["parts"][name][part] for run in ours)

    rows: list[dict[str, Any]] = []
    for name in _list_stages():
        if all(name in run["parts"] and name in run["stages"] for run in ours):
            row: dict[str, Any] = {part: median(name, part) for part in ("start", "work", "processor")}
            taken = statistics.median(run["stages"][name] for run in ours)
            rows.append({"stage": name, **row, "dvc": taken - row["start"] - row["work"]})
    before = statistics.median(run["seconds"] - sum(run["stages"].values()) for run in ours)
    rows.append({"stage": "before the first", "start": 0.0, "work": 0.0, "dvc": before, "processor": None})
    total = {part: sum(row[part] for row in rows) for part in ("start", "work", "dvc")}
    processor = statistics.median(run["processor_seconds"] for run in ours)
    return [*rows, {"stage": "all", **total, "processor": processor}]


def bound(limits: dict[str, Any], images: int, ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, stage by stage, the time that arithmetic alone needs at the machine's best rate, and the time taken.

    The prefix runs once an image of the training and validation fold, and so does the suffix for the head; in
    fine-tuning the suffix counts three times an image and epoch, and once for each validation image; evaluation
    runs everything once over the test fold. The other stages hold no such arithmetic: they have no bound.
    """
    prefix, suffix = limits["macs"]["prefix"], limits["macs"]["suffix"]
    engine = limits["images_per_second"]["engine in memory"] * prefix
    trainer = limits["trainer_images_per_second"] * 3 * suffix
    work = {
        "extract": (TRAIN + VAL) * prefix / engine,
        "finetune": (TRAIN + VAL) * suffix / engine + pipeline.EPOCHS * (3 * TRAIN + VAL) * suffix / trainer,
        "evaluate": TEST * (prefix + suffix) / engine,
    }
    table = [
        {
            "stage": stage,
            "bound": images * work[stage] if stage in work else None,
            "taken": statistics.median(run["stages"][stage] for run in ours),
        }
        for stage in _list_stages()
        if stage in ours[0]["stages"]
    ]
    table.append(
        {
            "stage": "all",
            "bound": images * sum(work.values()),
            "taken": statistics.median(run["seconds"] for run in ours),
        }
    )
    return table


def _list_stages() -> list[str]:
    """Return the names of the stages in the order of dvc.yaml."""
    pipeline = yaml.safe_load((Path(__file__).parents[1] / "dvc.yaml").read_text(encoding="utf-8"))
    return list(pipeline["stages"])
