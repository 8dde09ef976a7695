"""A logged model answers as the pipeline does, wherever MLflow can load it."""

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.serving.golden import write_golden
from tests.serving.packed import CLASSES
from tests.tracking.environments import link_requirements
from tests.tracking.logged import BACKBONE, Logged, make_checkout
from tests.tracking.stores import free, wait_for
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.serving.classifier import Classifier
from unfreeze.tracking import models


@pytest.fixture(scope="module")
def logged(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    return make_checkout(tmp_path_factory.mktemp("logged"), packed)


@pytest.fixture(scope="module")
def stored(logged: Logged) -> Path:
    """Return the folder of a logged model."""
    _, model = logged.log()
    location = logged.registry.server.client.get_logged_model(model).artifact_location
    return Path(location.removeprefix("file://"))


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_golden(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def expected(logged: Logged, golden: list[Path]) -> np.ndarray:
    """Return what the pipeline's own classifier says of the golden images."""
    classifier = Classifier(logged.package)
    batches = [classifier.load(path)[None] for path in golden]
    return np.concatenate([answers.probabilities for answers in classifier.classify(batches)])


@pytest.fixture(scope="module")
def function(stored: Path) -> Any:
    return mlflow.pyfunc.load_model(str(stored))


def encode(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def take_probabilities(answers: pd.DataFrame) -> np.ndarray:
    return answers[[f"p_{name}" for name in CLASSES]].to_numpy()


@pytest.mark.parametrize("form", [encode, Path.read_bytes, lambda path: f"data:image/x;base64,{encode(path)}"])
def test_golden_images_get_the_answers_of_the_pipeline(
    function: Any, golden: list[Path], expected: np.ndarray, form: Callable[[Path], Any]
) -> None:
    answers = function.predict(pd.DataFrame({"image": [form(path) for path in golden]}))
    np.testing.assert_allclose(take_probabilities(answers), expected, atol=1e-5)
    assert answers["predicted"].tolist() == [CLASSES[number] for number in expected.argmax(axis=1)]
    assert answers["accepted"].tolist() == (answers["reason"] == "").tolist()
    assert len(answers) == len(golden)


def test_pixels_get_the_answers_of_the_pipeline(
    function: Any, logged: Logged, golden: list[Path], expected: np.ndarray
) -> None:
    classifier = Classifier(logged.package)
    pixels = np.stack([classifier.load(path) for path in golden])
    for given in (pixels, {"image": pixels}, pixels.astype("float32"), pixels.astype("int64")):
        np.testing.assert_allclose(take_probabilities(function.predict(given)), expected, atol=1e-5)


PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PIXELS / 255, "all pixels lie in 0..1, as if they had been divided by 255: expected"),
        ((PIXELS > 99).astype("uint8"), "all pixels lie in 0..1"),
        (PIXELS / 127.5 - 1, "pixels lie in -1..1: expected"),
        (PIXELS + 0.5, "pixels lie in 0.5..255.5|pixels are no whole numbers"),
        (PIXELS * np.nan, "pixels lie in nan..nan"),
        (PIXELS[:, :16], r"pixels have shape \(2, 16, 32, 3\): expected .* of shape \(n, 32, 32, 3\)"),
        (PIXELS[0], r"pixels have shape \(32, 32, 3\)"),
        (pd.DataFrame({"image": ["photo.jpg"]}), "image 0 is not base64"),
        (pd.DataFrame({"image": [b"hello"]}), "image 0 cannot be read: text"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(function: Any, given: Any, message: str) -> None:
    with pytest.raises(mlflow.MlflowException, match=message):
        function.predict(given)


def test_a_file_that_breaks_off_is_named_by_its_place(function: Any, golden: list[Path]) -> None:
    turned = next(path for path in golden if path.name == "turned.jpg").read_bytes()
    with pytest.raises(mlflow.MlflowException, match="^image 1 cannot be read: [^\\n]+$"):
        function.predict(pd.DataFrame({"image": [turned, turned[:-300]]}))


def test_the_example_in_the_store_fits_the_signature(function: Any, logged: Logged) -> None:
    answers = function.predict(function.input_example)
    recorded = Classifier(logged.package).model.example.probabilities
    np.testing.assert_allclose(take_probabilities(answers)[0], recorded, atol=1e-5)
    signature = function.metadata.signature
    assert signature.inputs.input_names() == ["image"]
    assert signature.outputs.input_names() == list(answers.columns)


def test_the_copied_code_is_no_part_of_an_installed_unfreeze(function: Any, stored: Path) -> None:
    (copy,) = (stored / "code").iterdir()
    assert function.loader_module == f"{copy.name}.tracking.pyfunc"
    used = sys.modules[f"{copy.name}.serving.classifier"]
    # Another logged model with the same code may have been loaded first.
    assert f"/code/{copy.name}/" in str(used.__file__)
    assert "from unfreeze " not in "".join(path.read_text() for path in copy.rglob("*.py"))


LOAD = """
import json, sys
sys.path[:0] = [sys.argv[1]]
import mlflow, pandas as pd
from importlib.util import find_spec
answers = mlflow.pyfunc.load_model(sys.argv[2]).predict(pd.DataFrame({"image": json.load(sys.stdin)}))
missing = [name for name in ("unfreeze", "tensorflow", "keras", "dvc") if find_spec(name) is None]
print(json.dumps([missing, answers.to_dict("list")]))
"""


def test_it_loads_where_only_its_requirements_are_installed(
    stored: Path, golden: list[Path], expected: np.ndarray, tmp_path: Path
) -> None:
    link_requirements(tmp_path / "site", (stored / "requirements.txt").read_text().split())
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOAD, str(tmp_path / "site"), str(stored)],
        input=json.dumps([encode(path) for path in golden]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    missing, answers = json.loads(done.stdout.splitlines()[-1])
    assert missing == ["unfreeze", "tensorflow", "keras", "dvc"]
    np.testing.assert_allclose(take_probabilities(pd.DataFrame(answers)), expected, atol=1e-5)


def test_the_keras_flavour_is_the_file_that_dvc_holds_and_both_of_mlflows_modules_load_it(
    stored: Path, logged: Logged
) -> None:
    import keras
    import mlflow.keras
    import mlflow.tensorflow

    file = logged.paths.model(BACKBONE)
    assert (stored / models.FILE).read_bytes() == file.read_bytes()
    expected = keras.models.load_model(file).predict(PIXELS, verbose=0)
    for load in (mlflow.keras.load_model, mlflow.tensorflow.load_model):
        np.testing.assert_allclose(load(str(stored)).predict(PIXELS, verbose=0), expected, atol=1e-6)


def test_the_package_in_the_store_is_the_one_that_dvc_holds(stored: Path, logged: Logged) -> None:
    assert models.hash_package(stored / "packed") == models.hash_package(logged.package)


@pytest.fixture(scope="module")
def served(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run `mlflow models serve`, and give its address."""
    folder, port = tmp_path_factory.mktemp("served"), free()
    options = ["--model-uri", str(stored), "--env-manager", "local", "--port", str(port)]
    command = [sys.executable, "-m", "mlflow", "models", "serve", *options]
    with (
        (folder / "log").open("w") as told,
        subprocess.Popen(command, cwd=folder, stdout=told, stderr=told, start_new_session=True) as running,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            os.killpg(running.pid, signal.SIGKILL)


def ask(address: str, content: Any) -> tuple[int, Any]:
    """Post JSON, and return the status and the answer."""
    request = urllib.request.Request(address, json.dumps(content).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_mlflow_serves_it(served: str, golden: list[Path], expected: np.ndarray, logged: Logged) -> None:
    texts = [encode(path) for path in golden]
    for content in (
        {"dataframe_records": [{"image": text} for text in texts]},
        {"dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]}},
        {"inputs": {"image": texts}},
        {"instances": [{"image": text} for text in texts]},
    ):
        status, said = ask(served, content)
        assert status == 200, said
        np.testing.assert_allclose(take_probabilities(pd.DataFrame(said["predictions"])), expected, atol=1e-5)
    pixels = Classifier(logged.package).load(golden[0])[None]
    status, said = ask(served, {"inputs": {"image": pixels.tolist()}})
    assert status == 200, said
    np.testing.assert_allclose(take_probabilities(pd.DataFrame(said["predictions"])), expected[:1], atol=1e-5)


def test_mlflow_serves_no_answer_to_what_is_no_image(served: str) -> None:
    status, said = ask(served, {"dataframe_records": [{"image": "aGVsbG8="}]})
    assert (status, "image 0 cannot be read: text" in said["message"]) == (400, True), said
    status, said = ask(served, {"inputs": {"image": (PIXELS / 255).tolist()}})
    assert (status, "all pixels lie in 0..1" in said["message"]) == (400, True), said


def test_a_package_of_another_model_is_not_logged(packed: Path, tmp_path: Path) -> None:
    made = make_checkout(tmp_path, packed)
    described = files.read_json(made.package / "model.json")
    files.write_json(made.package / "model.json", {**described, "model_sha256": "0" * 64})
    with pytest.raises(UnfreezeError, match="was packed from another model than models/from_scratch.keras: run `dvc"):
        made.log()


def test_without_a_package_the_missing_folder_is_named(packed: Path, tmp_path: Path) -> None:
    made = make_checkout(tmp_path, packed)
    files.remove(made.package)
    with pytest.raises(FileNotFoundError) as error:
        models.read_package(made.paths, BACKBONE)
    assert str(error.value.filename) == str(made.package)
