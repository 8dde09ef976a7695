"""Each way to ask a served or logged model for the probabilities of image files."""

import base64
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tests.serving.packed import CLASSES
from tests.serving.service.running import Running, run_service, write_binary_v2, write_v2
from tests.tracking.logged import make_checkout


@dataclass(frozen=True)
class Asked:
    """A package that is served, and logged with MLflow."""

    service: Running
    package: Path
    folder: Path

    @property
    def infer(self) -> str:
        return f"/v2/models/{self.package.name}/infer"


@contextmanager
def serve(package: Path, folder: Path) -> Iterator[Asked]:
    """Serve a package; where it is logged it is in a folder."""
    with run_service(package) as service:
        yield Asked(service, package, folder)


def ask_predict(asked: Asked, files: list[Path]) -> list[list[float]]:
    answers = [asked.service.ask("/predict", path.read_bytes()).json["predictions"][0] for path in files]
    return [[answer["probabilities"][name] for name in CLASSES] for answer in answers]


def ask_v2(asked: Asked, files: list[Path]) -> list[list[float]]:
    wanted = {"outputs": [{"name": "probabilities"}]}
    answers = [asked.service.ask(asked.infer, write_v2(path.read_bytes(), **wanted)).json for path in files]
    return [answer["outputs"][0]["data"] for answer in answers]


def ask_binary_v2(asked: Asked, files: list[Path]) -> list[list[float]]:
    wanted = {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]}
    said = []
    for path in files:
        body, length = write_binary_v2(path.read_bytes(), **wanted)
        answer = asked.service.ask(asked.infer, body, Inference_Header_Content_Length=length)
        rest = answer.body[int(answer.headers["inference-header-content-length"]) :]
        said.append(list(struct.unpack(f"<{len(CLASSES)}d", rest)))
    return said


def ask_mlflow(asked: Asked, files: list[Path]) -> list[list[float]]:
    import mlflow

    made = make_checkout(asked.folder, asked.package)
    _, model = made.log()
    location = made.registry.server.client.get_logged_model(model).artifact_location
    texts = [base64.b64encode(path.read_bytes()).decode() for path in files]
    answers = mlflow.pyfunc.load_model(location).predict(pd.DataFrame({"image": texts}))
    said: list[list[float]] = answers[[f"p_{name}" for name in CLASSES]].to_numpy().tolist()
    assert answers["predicted"].tolist() == [CLASSES[number] for number in np.argmax(said, axis=1)]
    return said


WAYS: dict[str, Callable[[Asked, list[Path]], list[list[float]]]] = {
    "/predict": ask_predict,
    "V2 in JSON": ask_v2,
    "V2 in binary": ask_binary_v2,
    "MLflow's function": ask_mlflow,
}


def require_alike(
    said: list[list[float]] | np.ndarray, expected: np.ndarray, way: str = "", *, atol: float = 1e-5
) -> None:
    """Require that probabilities are the expected ones, with the same class."""
    found = np.array(said)
    np.testing.assert_allclose(found, expected, atol=atol, err_msg=way)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all(), way
