"""Champion and challenger on the same test images, scored again in one process."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unfreeze import files
from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.metric_registry import list_metrics
from unfreeze.images import store
from unfreeze.paths import Paths
from unfreeze.release.judgement import Contender
from unfreeze.runtime import console
from unfreeze.settings.params import Params

# Each model is timed so often, in turn: the machine may be busy with something else for a while.
ROUNDS = 3


@dataclass(frozen=True)
class Test:
    """The test fold as it is in the checkout.

    Args:
        rows: Rows of the image store.
        ids: Identifiers of its images.
        labels: Class numbers.
        classes: Class names by number.
    """

    rows: np.ndarray
    ids: list[str]
    labels: np.ndarray
    classes: list[str]

    @classmethod
    def read(cls, paths: Paths) -> "Test":
        """Read it from the image store and the split."""
        images = store.describe(paths.images)
        rows = images.find_rows(files.read_csv(paths.split), "test")
        return cls(rows, [images.ids[row] for row in rows], images.labels[rows], images.classes)


def score_models(params: Params, paths: Paths, test: Test, models: dict[str, Path]) -> dict[str, Contender]:
    """Score models on the test fold and measure what they cost.

    A model of another image size is given the images decoded again at its own.

    Args:
        params: Needs `extract` and the limit on pixels in `checks`.
        paths: The checkout.
        test: The test fold.
        models: `.keras` files by the name that progress shows.

    Returns:
        What each says and costs, by its name.
    """
    console.import_tensorflow()
    from unfreeze.models import cost
    from unfreeze.models.scorer import Scorer

    scorers = {name: Scorer(model, paths.images, params.extract) for name, model in models.items()}
    max_pixels = params.checks.limits.max_pixels
    said = {name: _predict(scorer, paths, test, name, max_pixels) for name, scorer in scorers.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, scorer in scorers.items():
            times[name].append(cost.measure_latency(scorer.engine, batch_sizes=(1,))["1"])
    return {
        name: Contender(
            said[name].argmax(axis=1),
            size_mb=cost.measure_size_mb(model),
            latency_ms=min(times[name]),
            scores=_score(params, test, said[name]),
        )
        for name, model in models.items()
    }


def _score(params: Params, test: Test, probabilities: np.ndarray) -> dict[str, float | None]:
    """Return the scores that `promote.floors` names."""
    fold = Fold(test.labels, probabilities, test.classes, seed=params.seed)
    found = {metric.name: metric.interval(fold) for metric in list_metrics() if metric.name in params.promote.floors}
    return {name: score.value if score else None for name, score in found.items()}


def _predict(scorer: Any, paths: Paths, test: Test, name: str, max_pixels: int) -> np.ndarray:
    size, what = int(scorer.model.inputs[0].shape[1]), f"{name}: {len(test.ids)} test images"
    if size == store.describe(paths.images).size:
        return np.asarray(scorer.predict(test.rows, what))
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        scorer.images = Path(folder) / paths.images.name
        labels, manifest = [test.classes[number] for number in test.labels], files.hash_file(paths.manifest)
        store.write(
            scorer.images, paths.raw, test.ids, labels, size=size, max_pixels=max_pixels, manifest_sha256=manifest
        )
        return np.asarray(scorer.predict(np.arange(len(test.ids)), what))
