"""Score a saved model on the test fold and show where and why it errs: the only stage that reads that fold."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics

from unfreeze import files
from unfreeze.checks import gate, rules
from unfreeze.evaluation import calibration, diagnosis, intervals, scores, selective
from unfreeze.features import pooled
from unfreeze.features.pooled import Pooled
from unfreeze.images import corruptions, jpeg, store
from unfreeze.paths import Paths
from unfreeze.records import test_evaluations
from unfreeze.records.costs import Latency, ModelSize
from unfreeze.records.test_evaluations import ScoredModel
from unfreeze.records.test_scores import Abstention, Calibration, CorruptionScore, Evaluation
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

# Pixels of what is shown: six backbones with all their pictures then fit into a page of 15 MB.
PICTURE_SIDE = 160
NEIGHBOUR_SIDE = 96


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


def pick_images(labels: np.ndarray, probabilities: np.ndarray, most: int) -> pd.DataFrame:
    """Pick the images that people should see.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes).
        most: How many of each kind.

    Returns:
        `place` in the fold, `kind` (mistake: the most confident first; doubtful: right, the least sure first), and
        `probability` and number of the class that was `predicted`.
    """
    table = pd.DataFrame(
        {
            "place": np.arange(len(labels)),
            "kind": np.where(probabilities.argmax(axis=1) == labels, "doubtful", "mistake"),
            "probability": probabilities.max(axis=1),
            "predicted": probabilities.argmax(axis=1),
        }
    ).sort_values("probability", kind="stable")
    doubtful = table[table["kind"] == "doubtful"].head(most)
    mistakes = table[table["kind"] == "mistake"].tail(most).iloc[::-1]
    return pd.concat([mistakes, doubtful], ignore_index=True)


def run(settings: Settings, paths: Paths, backbone: str, tracker: Tracker) -> None:
    """Open the test fold, score it, explain the errors, log all of it, and check the predictions."""
    tracker.prepare()
    with start_helper(gate.load_library) as process:
        console.import_tensorflow()
        from unfreeze.models.scorer import Scorer

        images = store.describe(paths.images)
        folds = files.read_csv(paths.split)
        rows = images.find_rows(folds, "test")
        ids, labels = [images.ids[row] for row in rows], images.labels[rows]
        # Read while nothing else needs that process.
        of_images = process.submit(pooled.read, paths, backbone, pixels=settings.pixels)
        evaluations = list_evaluations(settings, paths, backbone, digest_fold(paths, ids))
        test_evaluations.record(paths, evaluations)
        scorer = Scorer(paths.model(backbone), paths.images, settings.extract)
        probabilities = scorer.predict(rows, f"{backbone}: {len(rows)} test images")
        temperature = Training.read(paths.training(backbone)).temperature
        result = Evaluation(
            **dict(scores.score(labels, probabilities, images.classes)),
            majority=float(np.bincount(labels).max() / len(labels)),
            calibration=measure_calibration(labels, probabilities, temperature),
            abstention=measure_abstention(settings, paths, backbone, Scored(rows, labels, probabilities)),
            corruptions=tuple(measure_corruptions(scorer, rows, labels, probabilities, settings)),
            seeds=score_repeats(settings, paths, backbone, rows, labels),
            size=measure_size(paths, backbone, scorer),
            test_evaluations=evaluations,
        )
        table = tabulate_predictions(ids, labels, probabilities, images.classes)
        files.write_csv(paths.predictions(backbone), table)
        result.write(paths.evaluation(backbone))
        measure_latency(scorer).write(paths.cost(backbone))
        write_curves(paths, backbone, labels, probabilities, images.classes)
        picks = pick_images(labels, probabilities, settings.evaluate.pictures)
        shown = explain_images(paths, scorer.model, images, rows, picks, of_images.result())
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


def measure_abstention(settings: Settings, paths: Paths, backbone: str, scored: Scored) -> Abstention:
    """Return what the thresholds of the packed model reject of the test fold and of unlike images."""
    classifier = Classifier(paths.packed(backbone), batch_size=settings.extract.batch_size)
    return rejection.measure(classifier, paths.images, scored, settings.seed)


def score_repeats(
    settings: Settings, paths: Paths, backbone: str, rows: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Return the accuracy of each model that was trained again, by its seed."""
    from unfreeze.models.scorer import Scorer

    found = {}
    for seed in settings.seeds:
        scorer = Scorer(paths.repeat(backbone, seed), paths.images, settings.extract)
        probabilities = scorer.predict(rows, f"{len(rows)} test images, seed {seed}")
        found[str(seed)] = float((probabilities.argmax(axis=1) == labels).mean())
    return found


def measure_corruptions(
    scorer: Any, rows: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, settings: Settings
) -> list[CorruptionScore]:
    """Return how far the accuracy drops under each corruption, on the first so many images of a random order."""
    random = np.random.default_rng(settings.seed)
    some = np.sort(random.permutation(len(rows))[: settings.evaluate.corruption_images])
    if not len(some):
        return []
    before = probabilities[some].argmax(axis=1) == labels[some]
    found = []
    for name, strength in itertools.product(corruptions.CORRUPTIONS, corruptions.STRENGTHS):

        def change(pixels: np.ndarray, part: np.ndarray, name: str = name, strength: int = strength) -> np.ndarray:
            return corruptions.corrupt(pixels, name, strength, settings.seed, rows=part)

        said = scorer.predict(rows[some], f"{name} of strength {strength}", change=change)
        after = said.argmax(axis=1) == labels[some]
        found.append(
            CorruptionScore(
                corruption=name,
                strength=strength,
                accuracy=float(after.mean()),
                drop=intervals.estimate_difference(labels[some], before, after, seed=settings.seed),
            )
        )
    return found


def explain_images(
    paths: Paths, model: Any, images: store.Images, rows: np.ndarray, picks: pd.DataFrame, of_images: Pooled | None
) -> pd.DataFrame:
    """Return the picked images with their pictures, Grad-CAM laid over them, and the training images most alike.

    Args:
        paths: Where images lie.
        model: The whole model.
        images: What the store says of itself.
        rows: Rows of the test fold in the store.
        picks: From `picked`.
        of_images: Features of the training images; None if none are stored.

    Returns:
        Columns kind, id, label, predicted, probability, picture, heatmap (JPEG) and neighbours, a list of mappings.
    """
    from unfreeze.models import explanations

    shown = rows[picks["place"]]
    pixels = store.read_pixels(paths.images, shown)
    seen = explanations.explain(
        model, pixels, picks["predicted"].to_numpy(), position=of_images.position if of_images else 0
    )
    names = np.array(images.classes)
    return pd.DataFrame(
        {
            "kind": picks["kind"],
            "id": [images.ids[row] for row in shown],
            "label": names[images.labels[shown]],
            "predicted": names[picks["predicted"]],
            "probability": picks["probability"],
            "picture": [jpeg.encode(picture, side=PICTURE_SIDE) for picture in pixels],
            "heatmap": [
                jpeg.encode(picture, side=PICTURE_SIDE) for picture in explanations.overlay(pixels, seen.heat)
            ],
            # What is stored was frozen in training, so the trained model gives the same there.
            "neighbours": find_neighbours(paths, images, of_images, seen.activations)
            if of_images
            else [[]] * len(shown),
        }
    )


def find_neighbours(
    paths: Paths, images: store.Images, of_images: Pooled, activations: np.ndarray
) -> list[list[dict[str, Any]]]:
    """Return for each picture the training images with the most similar features.

    Args:
        paths: Where images lie.
        images: What the store says of itself.
        of_images: Features of the training images.
        activations: The pictures', at the same position of the backbone.
    """
    from unfreeze.models import explanations

    if not len(activations):
        return []
    train = of_images.take_fold("train")
    indices, distances = explanations.find_nearest(train.vectors, pooled.average_places(activations))
    found = pd.Index(images.ids).get_indexer(train.ids[indices].ravel()).reshape(indices.shape)
    alike = store.read_pixels(paths.images, found.ravel()).reshape(*found.shape, images.size, images.size, 3)
    return [
        [
            {
                "id": images.ids[row],
                "label": images.classes[images.labels[row]],
                "distance": float(distance),
                "picture": jpeg.encode(picture, side=NEIGHBOUR_SIDE),
            }
            for row, distance, picture in zip(*one, strict=True)
        ]
        for one in zip(found, distances, alike, strict=True)
    ]


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
