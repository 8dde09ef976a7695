"""What the files that stages wrote say, by the names it has in MLflow."""

import platform
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files, git
from unfreeze.paths import Paths
from unfreeze.records import lineage
from unfreeze.records.corrections import Corrections
from unfreeze.records.costs import Latency
from unfreeze.records.exported_model import Exports
from unfreeze.records.pretrained_weights import PretrainedWeights
from unfreeze.records.test_scores import Abstention, Evaluation
from unfreeze.records.training import Training
from unfreeze.records.trial import Trial
from unfreeze.records.verdict import Row
from unfreeze.settings.params import resolve_settings
from unfreeze.tracking import keys
from unfreeze.tracking.runs import Point
from unfreeze.training.history import CURVES

# Fields of a trial that are known at its end.
SUMMARY = ("score", "trainable_parameters", "seconds", "peak_mb")
# Significant digits of a score or a cost.
DIGITS = 6


def describe_origin(paths: Paths) -> dict[str, str]:
    """Return tags on where a study's runs come from."""
    return {
        keys.COMMIT: git.find_commit(paths.root) or "none",
        keys.SOURCE: "dvc repro",
        keys.DATA_SHA256: files.hash_file(paths.manifest),
        keys.REQUIREMENTS: _digest(paths.lock),
        keys.DVC_LOCK: _digest(paths.dvc_lock),
        keys.ENVIRONMENT: lineage.describe_environment(),
        keys.PLATFORM: platform.platform(),
    }


def describe_weights(paths: Paths, backbone: str) -> dict[str, str]:
    """Return tags on a backbone's weights before training."""
    record = PretrainedWeights.read(paths.weights_record(backbone))
    return {keys.WEIGHTS: record.source, keys.WEIGHTS_SHA256: record.sha256}


def list_training_params(paths: Paths, backbone: str) -> dict[str, Any]:
    """Return a backbone's settings, and what its training came to."""
    training = Training.read(paths.training(backbone))
    return resolve_settings(files.read_yaml(paths.params), backbone) | training.to_json()


def list_epochs(history: pd.DataFrame) -> list[Point]:
    """Return the epochs of a training by step."""
    return [(name, float(row[name]), int(row["step"])) for row in history.to_dict("records") for name in CURVES]


def list_trial_params(backbone: str, trial: Trial) -> dict[str, Any]:
    """Return the settings of a trial, and its backbone, by which charts of several can tell them apart."""
    chosen = {name: getattr(trial, name) for name in ("unfreeze_from", "unfreeze_point", "continues")}
    return {"backbone": backbone, **chosen, **trial.settings}


def list_trial_metrics(trial: Trial, known: int) -> list[Point]:
    """Return a trial's epochs after a number of them, and its results if it has ended.

    Args:
        trial: The trial.
        known: Number of epochs that are logged already.
    """
    points: list[Point] = [
        (name, value, step)
        for step, epoch in enumerate(trial.epochs, start=1)
        if step > known
        for name, value in epoch
    ]
    results = {name: getattr(trial, name) for name in SUMMARY}
    return points + [(name, float(value), len(trial.epochs)) for name, value in results.items() if value is not None]


def list_test_metrics(paths: Paths, backbone: str) -> Iterator[Point]:
    """Yield a backbone's scores on the test fold, and what it costs to use."""
    result = Evaluation.read(paths.evaluation(backbone))
    scores = {key: value for key, value in result if isinstance(value, float)}
    for group, averages in (("macro", result.macro), ("weighted", result.weighted)):
        scores |= {f"{group}_{key}": value for key, value in averages if key != "support"}
    for name, values in result.classes.items():
        scores |= {f"{key}/{clean_metric_name(name)}": value for key, value in values if value is not None}
    scores |= dict(result.calibration)
    scores |= list_abstention_scores(result.abstention)
    for name, value in scores.items():
        yield f"test_{name}", _round(value), 0
    yield "parameters", float(result.size.parameters), 0
    yield "multiply_adds", float(result.size.multiply_accumulates), 0
    yield "size_mb", _round(result.size.size_mb), 0
    yield "latency_ms", _round(Latency.read(paths.cost(backbone)).latency_ms["1"]), 0


def list_abstention_scores(of: Abstention) -> dict[str, float]:
    """Return what the packed thresholds accept on the test fold and reject of other images, by the metric's name."""
    scores = {
        "risk_area": of.risk_area,
        "accepted": of.accepted,
        "error_of_accepted": of.error,
        "unsure": of.unsure,
        "unlike": of.unlike,
    }
    for images in of.unlike_images:
        name = clean_metric_name(images.kind)
        scores |= {f"unlike_auroc/{name}": images.auroc, f"unlike_rejected/{name}": images.rejected}
    return {name: score for name, score in scores.items() if score is not None}


def list_verdict_metrics(row: Row, known: Collection[str]) -> Iterator[Point]:
    """Yield what the verdict adds to a backbone's scores.

    These are the limits of all metrics' intervals, metrics from `plugins/`, and the gain over the baseline in points.

    Args:
        row: The backbone's row.
        known: Names of the metrics that are logged already.
    """
    for name, score in row.scores.items():
        if score is None:
            continue
        if f"test_{name}" not in known:
            yield f"test_{name}", _round(score.value), 0
        yield f"test_{name}_low", _round(score.low), 0
        yield f"test_{name}_high", _round(score.high), 0
    if row.gain:
        yield "gain", _round(100 * row.gain.value), 0


def list_correction_metrics(of: Corrections) -> Iterator[Point]:
    """Yield how many images corrections changed, and by how many points each backbone's accuracy."""
    if of.counts.is_empty:
        return
    yield "corrections_relabelled", float(of.counts.relabelled), 0
    yield "corrections_excluded", float(of.counts.excluded), 0
    for effect in of.comparison.effects if of.comparison else ():
        yield f"{effect.backbone} gain by corrections", _round(100 * effect.difference.value), 0


def list_export_metrics(of: Exports, after: int) -> Iterator[Point]:
    """Yield size, speed and fidelity of each exported format.

    Args:
        of: The formats.
        after: Milliseconds between the run's begin and now: of two measurements MLflow shows the later one.
    """
    for row in of.formats:
        name = clean_metric_name(row.format)
        for key, value in row:
            if isinstance(value, float):
                yield f"export/{name}/{key}", _round(value), 0, after


def clean_metric_name(text: str) -> str:
    """Replace what MLflow does not take in a metric's name."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in text)


def _round(value: float) -> float:
    """MLflow shows every digit it is given, and its columns end before the last of them."""
    return float(f"{value:.{DIGITS}g}")


def _digest(path: Path) -> str:
    return files.hash_file(path) if path.exists() else "none"
