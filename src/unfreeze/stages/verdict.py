"""Compare all backbones of the study: intervals, tests of all pairs, slices, findings and their causes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from unfreeze import files
from unfreeze.evaluation import diagnosis, leaks, pairs, ranking, scores, slices
from unfreeze.evaluation.class_scores import score_classes
from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.metric_registry import score_metrics
from unfreeze.evaluation.undertraining import describe_undertraining
from unfreeze.paths import Paths
from unfreeze.records.costs import TrainedSize
from unfreeze.records.interval import Interval
from unfreeze.records.learning_curves import LearningCurve
from unfreeze.records.predictions import Predictions
from unfreeze.records.pretrained_weights import PretrainedWeights
from unfreeze.records.test_scores import Evaluation
from unfreeze.records.training import Training
from unfreeze.records.trial import SearchResult
from unfreeze.records.verdict import Pair, Row, Spread, StudySettings, Verdict
from unfreeze.runtime import console
from unfreeze.settings.base import PixelScaling
from unfreeze.settings.checks import CheckSettings
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.study import Study


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    pixels: PixelScaling
    study: Study
    data_name: str = declare_param("data.name")
    image_size: int = declare_param("preprocess.image_size")
    checks: CheckSettings = declare_param(*(f"checks.{name}" for name in diagnosis.SYMPTOMS))


def measure_spread(seed: int, accuracy: float, further: dict[str, float]) -> Spread | None:
    """Return how the accuracy differs from seed to seed; None with one seed."""
    if not further:
        return None
    accuracies = [accuracy, *further.values()]
    return Spread(
        seeds=(seed, *(int(name) for name in further)),
        accuracies=tuple(accuracies),
        mean=float(np.mean(accuracies)),
        deviation=float(np.std(accuracies, ddof=1)),
        lowest=min(accuracies),
        highest=max(accuracies),
    )


def build_row(
    settings: Settings, paths: Paths, backbone: str, predictions: Predictions, manifest: pd.DataFrame
) -> Row:
    """Return what is known of one backbone."""
    weights = PretrainedWeights.read(paths.weights_record(backbone))
    training = Training.read(paths.training(backbone))
    evaluation = Evaluation.read(paths.evaluation(backbone))
    curve = files.read_json(paths.learning_curve(backbone))
    fold = Fold(predictions.labels, predictions.probabilities, predictions.classes, seed=settings.seed)
    return Row(
        backbone=backbone,
        weights=weights.source,
        pretrained=weights.pretrained,
        unfreeze_from=training.unfreeze_from,
        learning_rate=training.learning_rate,
        chosen_by=training.chosen_by,
        scores=score_metrics(fold),
        classes=score_classes(fold),
        averages={"macro": evaluation.macro, "weighted": evaluation.weighted},
        confusion=evaluation.confusion,
        confused=tuple(scores.list_confused(evaluation.confusion, predictions.classes)),
        calibration=evaluation.calibration,
        abstention=evaluation.abstention,
        cost=TrainedSize(**dict(evaluation.size), trainable_parameters=training.trainable_parameters),
        seeds=measure_spread(settings.seed, evaluation.accuracy, evaluation.seeds),
        corruptions=evaluation.corruptions,
        learning_curve=None if curve is None else LearningCurve.model_validate(curve),
        slices=tuple(slices.score_slices(predictions.table, manifest, seed=settings.seed)),
        feature_sample=evaluation.feature_sample,
        leak=leaks.score_without(
            predictions.table["correct"].to_numpy(bool),
            predictions.labels,
            leaks.find_leaked(predictions.table["id"], manifest),
            seed=settings.seed,
        ),
    )


def add_gains(rows: list[Row], compared: list[Pair], baseline: str) -> list[Row]:
    """Sort rows by accuracy, best first, ties by fewer trained parameters, and add the gain over the baseline.

    Args:
        rows: One a backbone.
        compared: All pairs of backbones.
        baseline: The backbone that gains are counted from; without it, and for itself, the gain is None.
    """
    gains: dict[str, Interval] = {}
    for pair in compared:
        if pair.second == baseline:
            gains[pair.first] = pair.difference
        elif pair.first == baseline:
            gains[pair.second] = pair.difference.negate()
    ranked = sorted(rows, key=lambda row: (-row.accuracy.value, row.cost.trainable_parameters, row.backbone))
    return [row.model_copy(update={"gain": gains.get(row.backbone)}) for row in ranked]


def run(settings: Settings, paths: Paths) -> None:
    """Write metrics/verdict.json."""
    names = list(settings.study.backbones)
    manifest = pd.read_parquet(paths.manifest)
    predictions = {name: Predictions.read(paths.predictions(name)) for name in names}
    rows = [build_row(settings, paths, name, predictions[name], manifest) for name in names]
    labels = predictions[names[0]].labels
    predicted = {name: said.predicted for name, said in predictions.items()}
    compared = pairs.compare_pairs(labels, predicted, seed=settings.seed)
    rows = add_gains(rows, compared, settings.study.baseline)
    smallest = pairs.find_smallest_difference(
        len(labels), pairs.measure_discordant_share(labels, predicted), pairs=len(compared)
    )
    findings = [
        finding
        for row in rows
        for records in [diagnosis.read_records(paths, row.backbone)]
        for finding in [
            *leaks.describe_leak(row.backbone, row.accuracy.value, len(labels), row.leak),
            *diagnosis.diagnose_backbone(row.backbone, checks=settings.checks, gain=row.gain, **records),
            *describe_undertraining(row.backbone, records["history"], SearchResult.read(paths.search(row.backbone))),
        ]
    ]
    judged = ranking.rank(rows, compared, smallest, baseline=settings.study.baseline)
    Verdict(
        study=StudySettings(
            name=settings.study.name,
            data=settings.data_name,
            image_size=settings.image_size,
            baseline=settings.study.baseline,
            pixels=settings.pixels,
        ),
        test_images=len(labels),
        classes=tuple(predictions[names[0]].classes),
        majority=float(np.bincount(labels).max() / len(labels)),
        rows=tuple(rows),
        pairs=tuple(compared),
        smallest_difference=smallest,
        verdict=judged,
        findings=tuple(findings),
    ).write(paths.verdict)
    console.log.info("%s", judged.text)
