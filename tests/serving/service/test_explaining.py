"""Grad-CAM comes from a process of its own, which may be killed or too slow."""

import io
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import runs
from tests.serving.packed import draw_image
from tests.serving.service.running import Running, run_service
from tests.serving.service.test_app import encode
from tests.serving.service.test_limits import wait_until
from unfreeze.serving.service.limits import Limits

IMAGE = encode(draw_image("red", 0), "PNG")


@pytest.fixture(scope="module")
def folder(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with its `.keras` file where the pipeline puts it."""
    root = tmp_path_factory.mktemp("models")
    shutil.copy(packed.parents[1] / "from_scratch.keras", root)
    return Path(shutil.copytree(packed, root / "packed/from_scratch"))


@pytest.fixture(scope="module")
def explaining(folder: Path) -> Iterator[Running]:
    with run_service(folder) as one:
        yield one


def find_process() -> int:
    """Return the process that explains."""
    (process,) = (child.pid for child in multiprocessing.active_children() if child.name == "explain")
    assert process
    return process


def test_the_heat_is_that_of_the_model(explaining: Running, packed: Path, tmp_path: Path) -> None:
    import keras

    from unfreeze.images.decoding import load_rgb
    from unfreeze.models import explanations

    answer = explaining.ask("/explain?class=green", IMAGE)
    assert answer.status == 200, answer.body
    assert (answer.headers["content-type"], answer.headers["x-class"]) == ("image/png", "green")
    pixels = load_rgb(IMAGE, 32, max_pixels=10**6)
    model = keras.models.load_model(packed.parents[1] / "from_scratch.keras")
    heat = explanations.explain(model, pixels[None], np.array([1])).heat[0]
    seen = np.asarray(Image.open(io.BytesIO(answer.body))).astype(int)
    assert np.abs(seen - explanations.overlay(pixels, heat)).max() <= 3
    assert explaining.ask("/explain", IMAGE).headers["x-class"] in ("blue", "green", "red")


def test_a_killed_process_costs_one_answer(explaining: Running) -> None:
    assert explaining.ask("/explain", IMAGE).status == 200
    process = find_process()
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: not runs(process))
    assert explaining.ask("/predict", IMAGE).status == 200
    assert explaining.ask("/explain", IMAGE).status in (200, 503)
    assert explaining.ask("/explain", IMAGE).status == 200


def test_a_process_that_is_too_slow_is_ended(folder: Path) -> None:
    with run_service(folder, limits=replace(Limits(), seconds_to_explain=5.1)) as running:
        answer = running.ask("/explain", IMAGE)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "it took longer than 0.1 s to explain" in answer.json["error"]
        assert running.ask("/predict", IMAGE).status == 200


def test_without_the_keras_file_it_says_so(running: Running, packed: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(packed, tmp_path / "alone"))
    # Another model's file is not taken for it.
    (tmp_path / "other.keras").write_bytes(b"another")
    with run_service(alone) as one:
        answer = one.ask("/explain", IMAGE)
    assert answer.status == 501
    assert "needs the .keras file that the model was packed from" in answer.json["error"]
