import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import Checkout
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.stages.evaluate import tabulate_predictions


def test_predictions_name_the_classes() -> None:
    table = tabulate_predictions(["i", "j"], np.array([0, 1]), np.array([[0.7, 0.3], [0.6, 0.4]]), ["cat", "dog"])
    assert table.to_dict("records") == [
        {"id": "i", "label": "cat", "predicted": "cat", "correct": True, "p_cat": 0.7, "p_dog": 0.3},
        {"id": "j", "label": "dog", "predicted": "cat", "correct": False, "p_cat": 0.6, "p_dog": 0.4},
    ]


def digest_outputs(paths: Paths, backbone: str) -> dict[str, str]:
    """Return digests of what the stage writes, but for how long the model takes."""
    tables = (paths.confusion, paths.roc, paths.precision_recall, paths.reliability, paths.risk_coverage)
    outputs = [name(backbone) for name in (paths.predictions, paths.evaluation, paths.mistakes, *tables)]
    return {str(path.relative_to(paths.root)): files.hash_file(path) for path in outputs}


@pytest.fixture(scope="module")
def scored(studied: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a copy of the study, in which this machine scores a model of a further seed and corrupted images too."""
    root = tmp_path_factory.mktemp("scored") / "checkout"
    made = Checkout.around(Path(shutil.copytree(studied.root, root, symlinks=True)))
    shutil.copy(made.paths.model("from_scratch"), made.paths.repeat("from_scratch", 1))
    made.change_params(study={"seeds": [1]}, evaluate={"corruption_images": 1})
    made.run("unfreeze", "evaluate", "from_scratch")
    return made


@pytest.fixture(scope="module")
def nodes(start_nodes: Callable[..., Any]) -> Iterator[Any]:
    """Run a cluster; each test says how many nodes it has."""
    with start_nodes(0) as cluster:
        yield cluster


# 10 images of the test fold, one of them corrupted in 30 ways, and again 10 for the model of the further seed.
@pytest.mark.parametrize(("count", "size", "shards"), [(1, 3, 4 + 30 + 4), (2, 4096, 1 + 30 + 1), (3, 3, 4 + 30 + 4)])
def test_rows_of_a_job_and_of_a_cluster_give_the_same_bytes(
    scored: Checkout, nodes: Any, tmp_path: Path, count: int, size: int, shards: int
) -> None:
    nodes.resize(count)
    paths = scored.paths
    before = digest_outputs(paths, "from_scratch")
    recorded = sorted(paths.test_evaluations.rglob("*.json"))
    for path in (*recorded, paths.predictions("from_scratch"), paths.evaluation("from_scratch")):
        path.unlink()
    cluster = {"engine": "ray", "rows_per_shard": size, "storage": str(tmp_path)}
    with scored.changed_params(cluster=cluster):
        if count == 1:
            scored.run("unfreeze", "work", "evaluate", "from_scratch", "--index", "0", "--of", "2")
            (evaluation,) = paths.test_evaluations.rglob("*.json")
            assert evaluation in recorded
            assert 0 < len(list(tmp_path.glob("*.json"))) < shards
        scored.run("unfreeze", "evaluate", "from_scratch")
    assert len(list(tmp_path.glob("*.json"))) == shards
    assert digest_outputs(paths, "from_scratch") == before


def test_a_sample_of_the_features_is_said_on_the_page_and_in_the_record(edited: Checkout) -> None:
    module = edited.root / "src/unfreeze/features/pooled.py"
    limit = "MOST_IMAGES = 200_000"
    module.write_text(module.read_text().replace(limit, "MOST_IMAGES = 20"))
    for command in (["evaluate", "mobilenetv2"], ["evaluate", "from_scratch"], ["verdict"], ["report"]):
        edited.run("unfreeze", *command)
    folds = pd.read_csv(edited.paths.split)["fold"]
    sample = files.read_json(edited.paths.report_json)["feature_samples"]
    # Pixels are no features: of the other backbone there is no sample.
    assert list(sample) == ["mobilenetv2"]
    images, of = sample["mobilenetv2"]["images"], sample["mobilenetv2"]["of"]
    assert 0 < images <= 20 and of == (folds != "test").sum()
    said = f"Computed from a sample of {images} of the {of} training and validation images"
    assert edited.paths.report_html.read_text().count(said) == 1
    assert said in edited.run("unfreeze", "show", "mobilenetv2").replace("\n", " ")
