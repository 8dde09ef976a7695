"""Score a saved model on the test fold and show where and why it errs: the only stage that reads that fold."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn import metrics

from unfreeze import files
from unfreeze.checks import gate, rules
from unfreeze.cluster.shards import Cluster, Work, find_code_digest
from unfreeze.evaluation import calibration, diagnosis, intervals, scores, selective
from unfreeze.features import pooled
from unfreeze.images import store
from unfreeze.models import shown_images
from unfreeze.models.fold_scoring import FoldScoring, Part, ScoredFold, choose_corrupted, score
from unfreeze.paths import Paths
from unfreeze.records import test_evaluations
from unfreeze.records.costs import Latency, ModelSize
from unfreeze.records.test_evaluations import ScoredModel
from unfreeze.records.test_scores import Calibration, CorruptionScore, Evaluation
from unfreeze.records.training import Training
from unfreeze.runtime import console
from unfreeze.runtime.background import start_helper
from unfreeze.serving import rejection
from unfreeze.serving.classifier import Classifier
from unfreeze.serving.rejection import Scored
from unfreeze.settings.base import PixelScaling
from unfreeze.settings.checks import CheckSettings
from unfreeze.settings.stage_settings import declare_param
from unfreeze.settings.study import Evaluate
from unfreeze.settings.training import Extract
from unfreeze.stages.tracker import Tracker

if TYPE_CHECKING:
    from unfreeze.models.scorer import Scorer


@dataclass(frozen=True)
class Settings:
    """What the stage uses of params.yaml."""

    seed: int
    pixels: PixelScaling
    extract: Extract
    evaluate: Evaluate
    seeds: tuple[int, ...] = declare_param("study.seeds")
    checks: CheckSettings = declare_param(*(f"checks.{name}" for name in diagnosis.SYMPTOMS))


def tabulate_predictions(
    ids: list[str], labels: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Return one row an image: id, label, predicted, correct and the probability of each class."""
    names = np.array(classes)
    predicted = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {"id": ids, "label": names[labels], "predicted": names[predicted], "correct": labels == predicted}
    )
    columns = [f"p_{name}" for name in classes]
    return pd.concat([table, pd.DataFrame(probabilities, columns=columns)], axis=1)


@dataclass(frozen=True)
class OpenedFold:
    """The test fold.

    Args:
        images: What the store says of all images.
        rows: Rows of the fold in the store, ascending.
        evaluations: The models that are scored on it.
    """

    images: store.Images
    rows: np.ndarray
    evaluations: tuple[ScoredModel, ...]


def open_fold(settings: Settings, paths: Paths, backbone: str) -> OpenedFold:
    """Return the test fold, after it is written down which models are scored on it."""
    images = store.describe(paths.images)
    rows = images.find_rows(files.read_csv(paths.split), "test")
    evaluations = list_evaluations(settings, paths, backbone, digest_fold(paths, [images.ids[row] for row in rows]))
    test_evaluations.record(paths, evaluations)
    return OpenedFold(images, rows, evaluations)


def list_scorings(settings: Settings, paths: Paths, backbone: str, engine: str) -> list[FoldScoring]:
    """Return what is computed with the model, and with that of each further seed.

    Args:
        settings: The stage's.
        paths: The checkout.
        backbone: Whose models they are.
        engine: Name of the engine that runs them.
    """
    first = FoldScoring(
        name=f"evaluate@{backbone}",
        code=find_code_digest(paths, "evaluate"),
        model=paths.model(backbone),
        images=paths.images,
        split=paths.split,
        extract=settings.extract,
        engine=engine,
        seed=settings.seed,
        corrupted=settings.evaluate.corruption_images,
        features=True,
    )
    return [
        first,
        *(
            replace(
                first,
                name=f"{first.name}, seed {seed}",
                model=paths.repeat(backbone, seed),
                corrupted=0,
                features=False,
            )
            for seed in settings.seeds
        ),
    ]


def open_scorings(settings: Settings, paths: Paths, backbone: str) -> tuple["Scorer", list[FoldScoring]]:
    """Load the model, and return it with what is computed with it and with those of further seeds.

    Args:
        settings: The stage's.
        paths: The checkout.
        backbone: Whose models they are.
    """
    from unfreeze.models.scorer import Scorer

    scorer = Scorer(paths.model(backbone), paths.images, settings.extract, features=True)
    return scorer, list_scorings(settings, paths, backbone, scorer.engine.name)


def list_works(settings: Settings, paths: Paths, backbone: str) -> list[Work]:
    """Return what the stage computes, as work that can be divided."""
    console.import_tensorflow()
    open_fold(settings, paths, backbone)
    scorer, (first, *further) = open_scorings(settings, paths, backbone)
    return [first.describe_work(scorer), *(scoring.describe_work() for scoring in further)]


def run(settings: Settings, paths: Paths, backbone: str, tracker: Tracker, cluster: Cluster) -> None:
    """Open the test fold, score it, explain the errors, log all of it, and check the predictions."""
    tracker.prepare()
    tracker.log_model(backbone)
    with start_helper(gate.load_library) as process:
        console.import_tensorflow()
        # Read while nothing else needs that process.
        of_images = process.submit(pooled.read, paths, backbone, pixels=settings.pixels)
        fold = open_fold(settings, paths, backbone)
        images, rows = fold.images, fold.rows
        ids, labels = [images.ids[row] for row in rows], images.labels[rows]
        scorer, (first, *further) = open_scorings(settings, paths, backbone)
        classifier = Classifier(paths.packed(backbone), batch_size=settings.extract.batch_size)
        unlikeness = rejection.Unlikeness(classifier)
        said = score(first, cluster, scorer, unlikeness.add)
        probabilities = said.probabilities
        temperature = Training.read(paths.training(backbone)).temperature
        result = Evaluation(
            **dict(scores.score(labels, probabilities, images.classes)),
            majority=float(np.bincount(labels).max() / len(labels)),
            calibration=measure_calibration(labels, probabilities, temperature),
            abstention=rejection.measure(
                classifier, Scored(labels, probabilities, unlikeness.finish()), settings.seed
            ),
            corruptions=tuple(measure_corruptions(labels, probabilities, said.corrupted, settings)),
            seeds=measure_seeds(settings.seeds, labels, [score(scoring, cluster) for scoring in further]),
            size=measure_size(paths, backbone, scorer),
            test_evaluations=fold.evaluations,
            feature_sample=pooled.describe_sample(of_images.result()),
        )
        table = tabulate_predictions(ids, labels, probabilities, images.classes)
        files.write_csv(paths.predictions(backbone), table)
        result.write(paths.evaluation(backbone))
        measure_latency(scorer).write(paths.cost(backbone))
        write_curves(paths, backbone, labels, probabilities, images.classes)
        picks = shown_images.pick_images(labels, probabilities, settings.evaluate.pictures)
        shown = shown_images.explain_images(paths, scorer.model, images, rows, picks, of_images.result())
        files.write_parquet(paths.mistakes(backbone), shown)
        console.log.info("%s: accuracy %.4f on %d test images", backbone, result.accuracy, len(rows))
        tracker.log_evaluation(backbone)
        log_findings(settings, paths, backbone)
        wanted = rules.guard_predictions(len(images.classes), result.majority, settings.checks)
        process.submit(gate.enforce, f"predictions_{backbone}", table, wanted, paths, backbone=backbone).result()


def digest_fold(paths: Paths, ids: list[str]) -> str:
    """Return a digest of some images' own pixels: it stays when other images come, or another size is stored."""
    pixels = pd.read_parquet(paths.manifest, columns=["path", "pixels_sha256"]).set_index("path")["pixels_sha256"]
    return files.digest(sorted(pixels.loc[ids]))


def list_evaluations(settings: Settings, paths: Paths, backbone: str, fold: str) -> tuple[ScoredModel, ...]:
    """Return the models that are about to be scored on the test fold.

    Args:
        settings: The stage's.
        paths: The checkout.
        backbone: Whose models they are.
        fold: Digest of the test fold.
    """
    models = [paths.model(backbone), *(paths.repeat(backbone, seed) for seed in settings.seeds)]
    return tuple(ScoredModel(model=files.hash_file(model), fold=fold, backbone=backbone) for model in models)


def measure_size(paths: Paths, backbone: str, scorer: Any) -> ModelSize:
    """Return the size of the model."""
    from unfreeze.models import cost

    return ModelSize(
        parameters=int(scorer.model.count_params()),
        multiply_accumulates=cost.count_multiply_accumulates(scorer.model),
        size_mb=cost.measure_size_mb(paths.model(backbone)),
    )


def measure_latency(scorer: Any) -> Latency:
    """Return how long the model takes."""
    from unfreeze.models import cost

    return Latency(engine=scorer.engine.name, latency_ms=cost.measure_latency(scorer.engine))


def log_findings(settings: Settings, paths: Paths, backbone: str) -> None:
    """Log what is wrong with the result and its likely cause, since the gate may end the run before the report."""
    for finding in diagnosis.diagnose_backbone(
        backbone, checks=settings.checks, **diagnosis.read_records(paths, backbone)
    ):
        console.log.warning(
            "%s: %s. Likely cause: %s. Remedy: %s", backbone, finding.what, finding.cause, finding.remedy
        )


def measure_calibration(labels: np.ndarray, probabilities: np.ndarray, temperature: float) -> Calibration:
    """Return how well probabilities tell how often the model is right, with the temperature and without.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: The saved model's, which are scaled already; shape (images, classes).
        temperature: By which they were.
    """
    before = calibration.apply_temperature(probabilities, 1 / temperature)
    classes = np.arange(probabilities.shape[1])
    return Calibration(
        temperature=temperature,
        calibration_error=calibration.compute_calibration_error(labels, probabilities),
        log_loss=float(metrics.log_loss(labels, probabilities, labels=classes)),
        uncalibrated_error=calibration.compute_calibration_error(labels, before),
        uncalibrated_log_loss=float(metrics.log_loss(labels, before, labels=classes)),
    )


def measure_seeds(seeds: tuple[int, ...], labels: np.ndarray, scored: list[ScoredFold]) -> dict[str, float]:
    """Return the accuracy of each model that was trained again, by its seed."""
    return {
        str(seed): float((of_seed.probabilities.argmax(axis=1) == labels).mean())
        for seed, of_seed in zip(seeds, scored, strict=True)
    }


def measure_corruptions(
    labels: np.ndarray, probabilities: np.ndarray, corrupted: list[tuple[Part, np.ndarray]], settings: Settings
) -> Iterator[CorruptionScore]:
    """Yield how far the accuracy drops under each corruption.

    Args:
        labels: Class numbers of the test fold, shape (images,).
        probabilities: Of the fold, shape (images, classes).
        corrupted: Of those images of it that are corrupted, for each corruption in each strength.
        settings: The stage's.
    """
    some = choose_corrupted(len(labels), settings.evaluate.corruption_images, settings.seed)
    before = probabilities[some].argmax(axis=1) == labels[some]
    for part, of_part in corrupted:
        after = of_part.argmax(axis=1) == labels[some]
        yield CorruptionScore(
            corruption=part.corruption,
            strength=part.strength,
            accuracy=float(after.mean()),
            drop=intervals.estimate_difference(labels[some], before, after, seed=settings.seed),
        )


def write_curves(
    paths: Paths, backbone: str, labels: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> None:
    """Write the tables that ROC, precision-recall, reliability, risk and confusion are drawn from.

    Args:
        paths: Where they go.
        backbone: The backbone.
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes).
        classes: Class names by number.
    """
    names = np.array(classes)
    pairs = pd.DataFrame({"label": names[labels], "predicted": names[probabilities.argmax(axis=1)]})
    files.write_csv(paths.confusion(backbone), pairs)
    files.write_csv(paths.roc(backbone), scores.compute_roc(labels, probabilities, classes))
    files.write_csv(paths.precision_recall(backbone), scores.compute_precision_recall(labels, probabilities, classes))
    files.write_csv(paths.reliability(backbone), calibration.compute_reliability(labels, probabilities))
    correct = probabilities.argmax(axis=1) == labels
    files.write_csv(
        paths.risk_coverage(backbone), selective.compute_risk_coverage(probabilities.max(axis=1), correct)
    )
