"""Probabilities of a test fold and of corrupted images: of this process, of a scheduler's jobs and of a cluster."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cluster.test_ray_cluster import SETTINGS
from tests.serving.packed import EXTRACT, build_model, write_images
from unfreeze import files
from unfreeze.cluster.local import Local
from unfreeze.cluster.parts import compute_part
from unfreeze.cluster.ray_cluster import RayCluster
from unfreeze.cluster.storage import Storage
from unfreeze.errors import UnfreezeError
from unfreeze.images import corruptions, store
from unfreeze.models import keras_file
from unfreeze.models.fold_scoring import FoldScoring, ScoredFold, score
from unfreeze.serving import package
from unfreeze.serving.network import Network
from unfreeze.settings.cluster import Cluster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module")
def scoring(tmp_path_factory: pytest.TempPathFactory) -> FoldScoring:
    """Return a network with random weights and 11 images, 4 of which are corrupted."""
    folder = tmp_path_factory.mktemp("scoring")
    names = write_images(folder, 4)
    labels = [name.partition("/")[0] for name in names]
    store.write(folder / "images.h5", folder, names, labels, size=32, max_pixels=10**6, manifest_sha256="")
    files.write_csv(folder / "split.csv", pd.DataFrame({"id": names, "fold": ["train", *["test"] * 11]}))
    build_model().save(folder / "model.keras")
    return FoldScoring(
        name="evaluate@tiny",
        code="",
        model=folder / "model.keras",
        images=folder / "images.h5",
        split=folder / "split.csv",
        extract=EXTRACT,
        engine="openvino",
        corrupted=4,
    )


@pytest.fixture(scope="module")
def here(scoring: FoldScoring, tmp_path_factory: pytest.TempPathFactory) -> ScoredFold:
    return score(scoring, Local(SETTINGS, Storage(str(tmp_path_factory.mktemp("empty")))))


def list_arrays(said: ScoredFold) -> list[np.ndarray]:
    return [said.probabilities, *(probabilities for _, probabilities in said.corrupted)]


def test_probabilities_are_those_of_the_model_for_each_image_alone(scoring: FoldScoring, here: ScoredFold) -> None:
    from unfreeze.models.scorer import Scorer, normalize

    scorer = Scorer(scoring.model, scoring.images, EXTRACT)
    assert np.array_equal(here.probabilities, scorer.predict(np.arange(1, 12), "all"))
    assert len(here.corrupted) == len(corruptions.CORRUPTIONS) * len(corruptions.STRENGTHS)
    for part, probabilities in here.corrupted[::7]:
        for row, expected in zip(part.rows, probabilities, strict=True):
            pixels = store.read_pixels(scoring.images, [row])
            changed = corruptions.corrupt(pixels, part.corruption, part.strength, 0, rows=[row])
            assert np.array_equal(normalize(*scorer.engine.run([changed]), "one")[0], expected)


@pytest.mark.parametrize("size", [3, 4096])
def test_those_of_jobs_have_the_same_bits(
    scoring: FoldScoring, here: ScoredFold, size: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "unfreeze")
    storage = Storage(str(tmp_path))
    # The second of two jobs did not run.
    compute_part(scoring.describe_work(), storage, size, index=0, of=2)
    said = score(scoring, Local(SETTINGS.model_copy(update={"rows_per_shard": size}), storage))
    assert all(map(np.array_equal, list_arrays(said), list_arrays(here)))
    assert f"{ {3: 32, 4096: 16}[size] } finished shards were taken" in caplog.text


@pytest.mark.parametrize("count", [1, 2, 3])
def test_those_of_a_cluster_have_the_same_bits(
    nodes: Any, scoring: FoldScoring, here: ScoredFold, tmp_path: Path, count: int
) -> None:
    nodes.resize(count)
    # Shards of 3 rows are tested with the stage.
    settings = Cluster(engine="ray", storage=None, rows_per_shard=4096, cpus_per_worker=1, tries=1, max_file_gb=1)
    said = score(scoring, RayCluster(settings, Storage(str(tmp_path))))
    assert all(map(np.array_equal, list_arrays(said), list_arrays(here)))


def test_features_are_those_of_the_test_fold_alone_and_of_the_packed_network(
    nodes: Any, scoring: FoldScoring, here: ScoredFold, tmp_path: Path
) -> None:
    nodes.resize(2)
    package.convert(keras_file.load(scoring.model), tmp_path / "model.xml")
    network = Network(tmp_path / "model.xml", batch_size=EXTRACT.batch_size)
    packed = list(network.run(store.read_batches(scoring.images, np.arange(1, 12), EXTRACT.batch_size)))
    settings = SETTINGS.model_copy(update={"engine": "ray", "rows_per_shard": 3})
    for cluster in (Local(SETTINGS, Storage(str(tmp_path))), RayCluster(settings, Storage(str(tmp_path)))):
        found: list[np.ndarray] = []
        said = score(replace(scoring, features=True), cluster, take_features=found.append)
        assert all(map(np.array_equal, list_arrays(said), list_arrays(here)))
        assert np.array_equal(np.concatenate(found), np.concatenate([features for _, features in packed]))


def test_a_machine_with_another_engine_or_model_is_refused(scoring: FoldScoring) -> None:
    with pytest.raises(UnfreezeError, match="would compute other rows, for model, engine differ: run `dvc pull`"):
        replace(scoring, engine="tensorflow").load({"model": "f" * 64, "engine": "tensorflow"})
