"""What a saved model says of the test fold and of corrupted copies, as rows that can be divided among machines."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unfreeze import files
from unfreeze.cluster.shards import Cluster, Compute, Work, name_images, require_same
from unfreeze.images import corruptions, store
from unfreeze.runtime import console
from unfreeze.settings.training import Extract

if TYPE_CHECKING:
    from unfreeze.models.scorer import Scorer


@dataclass(frozen=True)
class Part:
    """Images that a model is run over.

    Args:
        rows: Their rows in the store, ascending.
        corruption: How they are corrupted; empty for the images as they are.
        strength: Of the corruption.
    """

    rows: np.ndarray
    corruption: str = ""
    strength: int = 0

    @property
    def name(self) -> str:
        """What it is, for people."""
        return (
            f"{self.corruption} of strength {self.strength}" if self.corruption else f"{len(self.rows)} test images"
        )


@dataclass(frozen=True)
class FoldScoring:
    """A model and the images that it is run over.

    Args:
        name: Of the work.
        code: Digest of the code.
        model: The `.keras` file.
        images: The image store.
        split: The file that says which images are in the test fold.
        extract: Engine, precision and batch size.
        engine: Name of the engine that runs the model.
        seed: Of the corruptions, and of the choice of images that are corrupted.
        corrupted: Most images of the fold that are corrupted.
        features: Whether rows hold the pooled features, too.
    """

    name: str
    code: str
    model: Path
    images: Path
    split: Path
    extract: Extract
    engine: str
    seed: int = 0
    corrupted: int = 0
    features: bool = False

    def list_parts(self) -> list[Part]:
        """Return the fold, and a part for each corruption in each strength."""
        rows = store.describe(self.images).find_rows(files.read_csv(self.split), "test")
        some = rows[choose_corrupted(len(rows), self.corrupted, self.seed)]
        kinds = itertools.product(corruptions.CORRUPTIONS, corruptions.STRENGTHS) if len(some) else ()
        return [Part(rows), *(Part(some, name, strength) for name, strength in kinds)]

    def describe_work(self, scorer: "Scorer | None" = None) -> Work:
        """Return the network's outputs for all parts, as work that can be divided.

        Args:
            scorer: The model, if it is loaded already.
        """
        parts, inputs = self.list_parts(), self._digest_inputs(self.engine)
        settings = {"precision": self.extract.whole_precision, "batch_size": self.extract.batch_size}
        return Work(
            self.name,
            {
                **inputs,
                **settings,
                "seed": self.seed,
                "corrupted": self.corrupted,
                "features": self.features,
                "code": self.code,
            },
            tuple(len(part.rows) for part in parts),
            partial(self.load, inputs),
            partial(self._compute, scorer, parts) if scorer else None,
            self._name_rows,
        )

    def load(self, inputs: dict[str, str]) -> Compute:
        """Return what computes rows.

        Args:
            inputs: Digests of model, images and split, and the engine, which must be the same here.
        """
        console.import_tensorflow()
        from unfreeze.models.scorer import Scorer

        scorer = Scorer(self.model, self.images, self.extract, features=self.features)
        require_same(inputs, self._digest_inputs(scorer.engine.name))
        return partial(self._compute, scorer, self.list_parts())

    def _digest_inputs(self, engine: str) -> dict[str, str]:
        return {
            "model": files.hash_file(self.model),
            "images": store.describe(self.images).digest,
            "split": files.hash_file(self.split),
            "engine": engine,
        }

    def _compute(self, scorer: "Scorer", parts: list[Part], start: int, stop: int) -> Iterator[np.ndarray]:
        """Yield the network's outputs, a batch at a time; no batch holds images of two parts."""
        for part in _cut(parts, start, stop):
            for rows in scorer.engine.run(self._read_batches(part, scorer.engine.batch_size)):
                # The features of corrupted images are asked for by nobody.
                yield rows[:, : scorer.model.output.shape[-1]] if part.corruption else rows

    def _read_batches(self, part: Part, size: int) -> Iterator[np.ndarray]:
        for number, pixels in enumerate(store.read_batches(self.images, part.rows, size)):
            if not part.corruption:
                yield pixels
                continue
            rows = part.rows[number * size : (number + 1) * size]
            yield corruptions.corrupt(pixels, part.corruption, part.strength, self.seed, rows=rows)

    def _name_rows(self, start: int, stop: int) -> str:
        ids = store.describe(self.images).ids
        return "; ".join(
            f"{part.name}: {name_images([ids[row] for row in part.rows], 0, len(part.rows))}"
            for part in _cut(self.list_parts(), start, stop)
        )


def choose_corrupted(images: int, most: int, seed: int) -> np.ndarray:
    """Return the places in the fold of the images that are corrupted: the first so many of a random order, sorted."""
    return np.sort(np.random.default_rng(seed).permutation(images)[:most])


@dataclass(frozen=True)
class ScoredFold:
    """What a model says.

    Args:
        probabilities: Of the fold, float64 of shape (images, classes); rows add up to 1.
        corrupted: The same for each part that is corrupted.
    """

    probabilities: np.ndarray
    corrupted: list[tuple[Part, np.ndarray]]


def score(
    scoring: FoldScoring,
    cluster: Cluster,
    scorer: "Scorer | None" = None,
    take_features: Callable[[np.ndarray], None] | None = None,
) -> ScoredFold:
    """Return the probabilities that a model gives to the images of each part.

    Args:
        scoring: The model and the images.
        cluster: Computes the rows.
        scorer: The model, if it is loaded already.
        take_features: Is called with the features of the fold's images, some at a time and in order: all of them
            would be large. Only where `FoldScoring.features` is set.

    Raises:
        UnfreezeError: The model gives numbers that are no probabilities.
    """
    from unfreeze.models.scorer import normalize

    if take_features and not scoring.features:
        raise ValueError(f"{scoring.name}: rows hold no features")
    work = scoring.describe_work(scorer)
    classes = len(store.describe(scoring.images).classes)
    found: list[np.ndarray] = []
    left = work.segments[0]
    with console.progress(f"{work.name} ({scoring.engine})", work.rows) as advance:
        for rows in cluster.iterate_rows(work):
            found.append(rows[:, :classes].copy())
            if take_features and left > 0:
                take_features(rows[:left, classes:])
            left -= len(rows)
            advance(len(rows))
    outputs = np.split(np.concatenate(found), np.cumsum(work.segments)[:-1])
    (_, whole), *corrupted = [
        (part, normalize(rows, f"{work.name}: {part.name}"))
        for part, rows in zip(scoring.list_parts(), outputs, strict=True)
    ]
    return ScoredFold(whole, corrupted)


def _cut(parts: list[Part], start: int, stop: int) -> Iterator[Part]:
    """Yield what lies from one row of all parts up to another."""
    for part in parts:
        count = len(part.rows)
        if start < count and stop > 0:
            yield Part(part.rows[max(start, 0) : stop], part.corruption, part.strength)
        start, stop = start - count, stop - count
