"""Score a saved model on the test fold: the only stage that reads it."""

from typing import Any

import numpy as np
import pandas as pd

from unfreeze import console, files, plots, tracking
from unfreeze.data import expectations, rules, store
from unfreeze.evaluation import scores
from unfreeze.params import Params
from unfreeze.paths import Paths
from unfreeze.processes import beside

PARAMS = ("extract", "tracking", "checks.one_class", "checks.below_majority")


def predictions_table(
    ids: list[str], labels: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Return one row an image: id, label, predicted, correct and the probability of each class."""
    names = np.array(classes)
    predicted = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {"id": ids, "label": names[labels], "predicted": names[predicted], "correct": labels == predicted}
    )
    for number, name in enumerate(classes):
        table[f"p_{name}"] = probabilities[:, number]
    return table


def run(params: Params, paths: Paths, backbone: str) -> None:
    """Score the test fold, log the scores, and check the predictions."""
    with beside(expectations.load_library, tracking.load_library) as process:
        table, result = score_test_fold(params, paths, backbone)
        process.submit(tracking.Ledger(paths, params.tracking.experiment).log_evaluation, backbone).result()
        wanted = rules.of_predictions(len(result["classes"]), result["majority"], params.checks)
        process.submit(expectations.gate, f"predictions_{backbone}", table, wanted, paths, backbone=backbone).result()


def score_test_fold(params: Params, paths: Paths, backbone: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Run the whole model, from pixels, over the test images; features from the cache have no part in it.

    Returns:
        The predictions, one row an image, and the scores.
    """
    console.import_tensorflow()
    import keras

    from unfreeze.models.engine import engine_of

    images = store.describe(paths.images)
    rows = images.rows_of(files.read_csv(paths.split), "test")
    labels = images.labels[rows]
    model = keras.models.load_model(paths.model(backbone), compile=False)
    engine = engine_of(model, params.extract)
    batches = store.batches(paths.images, rows, engine.batch_size)
    with console.progress(f"{backbone}: {len(rows)} test images ({engine.name})", len(rows)) as advance:
        parts = []
        for part in engine.run(batches):
            parts.append(part)
            advance(len(part))
    # Float32 rounding leaves rows that add up to 1 only nearly; scikit-learn warns of those.
    probabilities = np.concatenate(parts).astype("float64")
    probabilities /= probabilities.sum(axis=1, keepdims=True)

    result = scores.score(labels, probabilities, images.classes)
    result["majority"] = float(np.bincount(labels).max() / len(labels))
    table = predictions_table([images.ids[row] for row in rows], labels, probabilities, images.classes)
    curves = scores.roc_points(labels, probabilities, images.classes)
    files.write_csv(paths.predictions(backbone), table)
    files.write_csv(paths.confusion(backbone), table[["label", "predicted"]])
    files.write_csv(paths.roc(backbone), curves)
    title = f"{backbone}, {len(rows)} test images"
    plots.confusion(result["confusion"], images.classes, title, paths.confusion_picture(backbone))
    plots.roc(curves, title, paths.roc_picture(backbone))
    files.write_json(paths.evaluation(backbone), result)
    console.log.info("%s: accuracy %.4f on %d test images", backbone, result["accuracy"], len(rows))
    return table, result
