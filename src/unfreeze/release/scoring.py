"""Champion and challenger on the same test images, scored again in one process."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unfreeze import files
from unfreeze.evaluation.fold import Fold
from unfreeze.evaluation.metric_registry import list_metrics
from unfreeze.evaluation.scores import require_probabilities
from unfreeze.images import store
from unfreeze.images.originals import Originals
from unfreeze.paths import Paths
from unfreeze.records.exported_model import ExportedModel
from unfreeze.release.judgement import Contender
from unfreeze.runtime import console
from unfreeze.runtime.timing import measure_median_ms
from unfreeze.serving import package
from unfreeze.serving.classifier import MODEL, NETWORK, WEIGHTS, Classifier
from unfreeze.serving.export.program import PREDICT, Program, write_program
from unfreeze.serving.export.registry import find_formats
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


@dataclass(frozen=True)
class Scored:
    """A model that can be scored.

    Args:
        size: Side of the square that it takes, pixels.
        size_mb: Size of its files, MB.
        predict: From an image store, its rows and a text for the progress shown to probabilities.
        measure_latency: Measures the median time of an answer on one image, milliseconds.
    """

    size: int
    size_mb: float
    predict: Callable[[Path, np.ndarray, str], np.ndarray]
    measure_latency: Callable[[], float]


def score_models(params: Params, paths: Paths, test: Test, models: dict[str, Path]) -> dict[str, Contender]:
    """Score models on the test fold and measure what they cost.

    Packages are scored by the code that serves them, exported folders by their runtime. A model of another image size
    is given the images decoded again at its own.

    Args:
        params: Needs `extract` and the limit on pixels in `checks`.
        paths: The checkout.
        test: The test fold.
        models: Packages, exported folders or `.keras` files, by the name that progress shows.

    Returns:
        What each says and costs, by its name.
    """
    loaded = {name: _load(path, params) for name, path in models.items()}
    max_pixels = params.checks.limits.max_pixels
    said = {name: _predict(model, paths, test, name, max_pixels) for name, model in loaded.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in loaded.items():
            times[name].append(model.measure_latency())
    return {
        name: Contender(
            said[name].argmax(axis=1),
            size_mb=model.size_mb,
            latency_ms=min(times[name]),
            scores=_score(params, test, said[name]),
        )
        for name, model in loaded.items()
    }


def _load(path: Path, params: Params) -> Scored:
    if path.is_dir():
        return _load_exported(path) if (path / PREDICT).exists() else _load_package(path, params)
    return _load_keras(path, params)


def _load_exported(folder: Path) -> Scored:
    """Load the artefact of an exported folder with this checkout's program for it: a downloaded one is not run."""
    model = ExportedModel.read(folder / MODEL)
    (entry,) = find_formats(model.format)
    write_program(folder / PREDICT, entry)
    program = Program(folder)
    pixels = _make_noise(model.size)

    def predict(images: Path, rows: np.ndarray, what: str) -> np.ndarray:
        return package.run(program, images, rows, what).probabilities

    # As of a package: with the search for similar training images.
    return Scored(
        model.size,
        entry.measure_megabytes(folder),
        predict,
        lambda: measure_median_ms(lambda: program.module.answer(pixels[0])),
    )


def _load_package(folder: Path, params: Params) -> Scored:
    whole = Classifier(folder, batch_size=params.extract.batch_size)
    single = Classifier(folder, batch_size=1, hint="latency")
    size = whole.model.size
    pixels = _make_noise(size)

    def predict(images: Path, rows: np.ndarray, what: str) -> np.ndarray:
        found = []
        with console.progress(what, len(rows)) as advance:
            for answers in whole.classify(store.read_batches(images, rows, whole.batch_size)):
                found.append(answers.probabilities)
                advance(len(answers))
        probabilities = np.concatenate(found)
        require_probabilities(probabilities, what)
        return probabilities

    size_mb = sum((folder / name).stat().st_size for name in (NETWORK, WEIGHTS)) / 1e6
    return Scored(size, size_mb, predict, lambda: measure_median_ms(lambda: list(single.classify([pixels]))))


def _make_noise(size: int) -> np.ndarray:
    """Return an image to measure with: uint8, shape (1, size, size, 3)."""
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype(np.uint8)


def _load_keras(path: Path, params: Params) -> Scored:
    """Load a `.keras` file: a champion that an older version of this project registered has no package."""
    console.import_tensorflow()
    from unfreeze.models import cost
    from unfreeze.models.scorer import Scorer

    def predict(images: Path, rows: np.ndarray, what: str) -> np.ndarray:
        scorer.images = images
        return scorer.predict(rows, what)

    scorer = Scorer(path, Path(), params.extract)
    return Scored(
        int(scorer.model.inputs[0].shape[1]),
        cost.measure_size_mb(path),
        predict,
        lambda: cost.measure_latency(scorer.engine, batch_sizes=(1,))["1"],
    )


def _score(params: Params, test: Test, probabilities: np.ndarray) -> dict[str, float | None]:
    """Return the scores that `promote.floors` names."""
    fold = Fold(test.labels, probabilities, test.classes, seed=params.seed)
    found = {metric.name: metric.interval(fold) for metric in list_metrics() if metric.name in params.promote.floors}
    return {name: score.value if score else None for name, score in found.items()}


def _predict(model: Scored, paths: Paths, test: Test, name: str, max_pixels: int) -> np.ndarray:
    what = f"{name}: {len(test.ids)} test images"
    if model.size == store.describe(paths.images).size:
        return model.predict(paths.images, test.rows, what)
    with tempfile.TemporaryDirectory(prefix="unfreeze-") as folder:
        images = Path(folder) / paths.images.name
        raw, labels = Originals.open(paths), [test.classes[number] for number in test.labels]
        store.write(
            images,
            paths.raw,
            test.ids,
            labels,
            size=model.size,
            max_pixels=max_pixels,
            manifest_sha256=files.hash_file(paths.manifest),
            pixels=store.decode_blocks(raw, test.ids, model.size, max_pixels),
        )
        return model.predict(images, np.arange(len(test.ids)), what)
