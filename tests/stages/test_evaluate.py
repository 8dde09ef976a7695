import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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


def test_rows_of_a_job_and_of_a_cluster_give_the_same_bytes(
    studied: Checkout, tmp_path: Path, start_nodes: Callable[..., Any]
) -> None:
    made = Checkout.around(Path(shutil.copytree(studied.root, tmp_path / "checkout", symlinks=True)))
    before = digest_outputs(made.paths, "from_scratch")
    recorded = sorted(made.paths.test_evaluations.rglob("*.json"))
    for path in (*recorded, made.paths.predictions("from_scratch"), made.paths.evaluation("from_scratch")):
        path.unlink()
    with start_nodes(1) as cluster, made.changed_params(cluster={"engine": "ray", "rows_per_shard": 3}):
        made.run("unfreeze", "work", "evaluate", "from_scratch", "--index", "0", "--of", "2")
        (evaluation,) = made.paths.test_evaluations.rglob("*.json")
        assert evaluation in recorded
        computed = len(list(made.paths.shards.glob("*.json")))
        made.run("unfreeze", "evaluate", "from_scratch", RAY_ADDRESS=cluster.address)
    assert 0 < computed < len(list(made.paths.shards.glob("*.json")))
    assert digest_outputs(made.paths, "from_scratch") == before
