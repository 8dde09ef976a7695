"""Medians, ratios and paired intervals of what was measured of one kind of processor."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.peers import full_depth
from benchmarks.peers.opponents import PEERS
from unfreeze.evaluation import intervals, pairs

SIDES = ("ours", *PEERS)
MEASURES = ("seconds", "epoch_seconds", "peak_mb", "accuracy")


def summarize(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page shows of one kind of processor."""
    labels = np.array([int(number) for number in results["labels"].split()])
    return {
        "results": results,
        "variants": [
            summarize_variant(runs, labels)
            for _, runs in sorted(results["runs"].items())
            if all(runs[side] for side in SIDES)
        ],
        "steps": [
            {"title": title, **full_depth.compare(runs), "runs": len(runs[full_depth.OURS])}
            for title, runs in sorted(results["full_depth"].items())
        ],
        "commits": sorted({run["commit"] for runs in results["runs"].values() for run in runs["ours"]}),
    }


def summarize_variant(runs: Mapping[str, Any], labels: np.ndarray) -> dict[str, Any]:
    """Return a variant's medians, its ratio, and the differences in accuracy.

    Args:
        runs: Runs of each side, with the variant's backbone, point, precision and floor.
        labels: Class numbers of the test images.
    """
    medians = {
        side: {name: statistics.median(run[name] for run in runs[side]) for name in MEASURES} for side in SIDES
    }
    faster = min(PEERS, key=lambda peer: medians[peer]["seconds"])
    faster_epoch = min(medians[peer]["epoch_seconds"] for peer in PEERS)
    ours = find_typical(runs["ours"])
    return {
        **{name: runs[name] for name in ("backbone", "point", "precision", "floor")},
        "runs": min(len(runs[side]) for side in SIDES),
        "medians": medians,
        "faster": faster,
        "ratio": medians[faster]["seconds"] / medians["ours"]["seconds"],
        "epoch_ratio": faster_epoch / medians["ours"]["epoch_seconds"],
        "differences": {peer: compare(ours, find_typical(runs[peer]), labels) for peer in PEERS},
    }


def compare(ours: np.ndarray, peer: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the difference in accuracy on the same images, its 95 % interval, and McNemar's p-value.

    Args:
        ours: Whether each test image is right.
        peer: The same of the peer.
        labels: Their class numbers.
    """
    interval = intervals.estimate_difference(labels, ours, peer, seed=0)
    only = [np.array([(first & ~second).sum()]) for first, second in ((ours, peer), (peer, ours))]
    p_value = float(pairs.compute_p_values(*only)[0])
    return {"value": interval.value, "low": interval.low, "high": interval.high, "p_value": p_value}


def find_typical(runs: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return whether each test image is right in the run of the median accuracy, the lower one of two."""
    typical = sorted(runs, key=lambda run: run["accuracy"])[(len(runs) - 1) // 2]
    return np.array([digit == "1" for digit in typical["correct"]])
