"""Backbones of the course report through every stage, on small images with random weights.

Three of the six, one for each way of scaling pixels: stages treat all alike, and what differs between them, cuts,
scaling and files, is tested for each backbone of the table in tests/models and tests/training.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import Checkout, checkout_with_images
from unfreeze.cli.stages import run_stage
from unfreeze.settings.params import load

BACKBONES = ["efficientnetb0", "vgg16", "xception"]

RELOAD = """
import json, sys
import h5py, keras
rows, models = json.load(open(sys.argv[1])), sys.argv[3:]
with h5py.File(sys.argv[2]) as store:
    pixels = store["images"][...][rows]
assert "unfreeze" not in sys.modules
print(json.dumps([keras.models.load_model(model).predict(pixels, verbose=0).tolist() for model in models]))
"""


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Run every stage over them with the report's heads and layers, in this process to spare start-ups."""
    made = checkout_with_images(
        tmp_path_factory.mktemp("reported"),
        12,
        "study=paper",
        f"study.backbones=[{','.join(BACKBONES)}]",
        # Xception's smallest.
        "preprocess.image_size=71",
        # As the report trains: head and unfrozen layers together.
        "train.head.default.epochs=0",
        "study.seeds=[]",
        "evaluate.corruption_images=0",
        # What a search does is tested elsewhere, and with each of them it takes a minute.
        "search.enabled.default=false",
        "evaluate.pictures=2",
        "weights.default=random",
        "weights.xception=random",
        "unfreeze.candidates.default=[{blocks: 1}]",
    )
    params = load(made.paths.params)
    with pytest.MonkeyPatch.context() as patch:
        # Nothing listens there: what MLflow gets is tested elsewhere, and models take it a minute.
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        for name, stage in yaml.safe_load(made.paths.pipeline.read_text())["stages"].items():
            for backbone in BACKBONES if "matrix" in stage else [None]:
                run_stage(name, None if name == "code" else params, made.paths, backbone=backbone)
    return made


def test_all_are_compared_and_marked_random(reported: Checkout) -> None:
    rows = json.loads(reported.paths.verdict.read_text())["rows"]
    assert sorted(row["backbone"] for row in rows) == sorted(BACKBONES)
    assert {row["weights"] for row in rows} == {"RANDOM"}
    assert reported.paths.report_markdown.read_text().count("RANDOM") >= len(BACKBONES)


def test_reloaded_models_give_the_same_probabilities_without_this_package(reported: Checkout, tmp_path: Path) -> None:
    import h5py

    with h5py.File(reported.paths.images) as store:
        ids = [name.decode() for name in store["ids"]]
    predictions = {name: pd.read_csv(reported.paths.predictions(name)) for name in BACKBONES}
    rows = [ids.index(name) for name in predictions[BACKBONES[0]]["id"]]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "reload.py").write_text(RELOAD)
    command = [sys.executable, tmp_path / "reload.py", tmp_path / "rows.json", reported.paths.images]
    command += [reported.paths.model(name) for name in BACKBONES]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reloaded = json.loads(done.stdout.splitlines()[-1])
    for name, probabilities in zip(BACKBONES, reloaded, strict=True):
        expected = predictions[name][["p_blue", "p_red"]].to_numpy()
        np.testing.assert_allclose(np.array(probabilities), expected, atol=1e-4, err_msg=name)
