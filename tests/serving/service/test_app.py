"""Each way to ask gives the answer that the packed model gives for the file."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.serving.golden import read_golden
from tests.serving.packed import CLASSES, draw_image
from tests.serving.service.running import FORM, Running, run_service, write_binary_v2, write_form, write_v2
from unfreeze import files
from unfreeze.serving.classifier import Answers, Classifier

INFER = "/v2/models/from_scratch/infer"


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


GOLDEN = read_golden()


def say(packed: Path, path: Path) -> Answers:
    classifier = Classifier(packed)
    (answers,) = classifier.classify([classifier.load(path)[None]])
    return answers


@pytest.mark.parametrize("kind", GOLDEN)
def test_all_ways_to_ask_give_the_answer_for_the_file(
    running: Running, packed: Path, tmp_path: Path, kind: str
) -> None:
    data = GOLDEN[kind]
    (tmp_path / "image").write_bytes(data)
    expected = say(packed, tmp_path / "image").probabilities[0]
    square = Classifier(packed).load(tmp_path / "image")
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": square.ravel().tolist()}
    binary, length = write_binary_v2(data)
    said = {
        "raw": running.ask("/predict", data),
        "form": running.ask("/predict", write_form(("a.jpg", data)), Content_Type=FORM),
        "V2 as JSON": running.ask(INFER, write_v2(data)),
        "V2 as binary": running.ask(INFER, binary, Inference_Header_Content_Length=length),
        "V2 alone": running.ask(INFER, data, Inference_Header_Content_Length="0"),
        "V2 as pixels": running.ask(INFER, json.dumps({"inputs": [pixels]}).encode()),
    }
    for way, answer in said.items():
        assert answer.status == 200, (way, answer.body)
        found = (
            answer.json["outputs"][1]["data"]
            if "outputs" in answer.json
            else list(answer.json["predictions"][0]["probabilities"].values())
        )
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=way)


def test_an_answer_says_what_the_model_knows(running: Running, packed: Path) -> None:
    path = packed.parents[1] / "raw/red/0.png"
    answers, classifier = say(packed, path), Classifier(packed)
    said = running.ask("/predict", path.read_bytes(), Content_Type="image/png").json
    digest = files.hash_file(packed.parents[1] / "from_scratch.keras")
    assert said["model"] == {"name": "from_scratch", "version": None, "digest": digest}
    (one,) = said["predictions"]
    assert list(one["probabilities"]) == list(CLASSES)
    assert one["class"] == CLASSES[int(answers.probabilities[0].argmax())]
    assert (one["accepted"], one["reason"]) == (not answers.reasons[0], answers.reasons[0])
    assert one["nearest"][0]["id"] == "red/0.png"
    assert one["nearest"][0]["label"] == "red"
    assert one["nearest"][0]["distance"] == pytest.approx(0, abs=1e-3)
    picture = running.ask(one["nearest"][0]["picture"])
    assert picture.body == classifier.reference.pictures[classifier.reference.ids.index("red/0.png")]


def test_several_images_are_answered_in_their_order(running: Running) -> None:
    named = [(f"{number}.png", encode(draw_image("blue", number), "PNG")) for number in range(5)]
    said = running.ask("/predict", write_form(*named), Content_Type=FORM).json["predictions"]
    assert [one["source"] for one in said] == [name for name, _ in named]
    alone = [running.ask("/predict", data).json["predictions"][0]["probabilities"] for _, data in named]
    for one, other in zip(said, alone, strict=True):
        assert list(one["probabilities"].values()) == pytest.approx(list(other.values()), abs=1e-6)


def test_an_image_unlike_the_training_images_is_not_accepted(packed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(packed, tmp_path / "from_scratch"))
    described = files.read_json(folder / "model.json")
    described["unlike"] |= {"cosine": 0.0, "euclidean": 0.0}
    files.write_json(folder / "model.json", described)
    with run_service(folder) as one:
        said = one.ask("/predict", GOLDEN["grey.jpg"]).json["predictions"][0]
        assert (said["accepted"], said["reason"]) == (False, "unlike training")
        assert one.count('unfreeze_rejections_total{reason="unlike training"}') == 1
        assert one.count("unfreeze_unlike_share") == 1


def test_the_protocols_metadata(running: Running) -> None:
    assert running.ask("/v2/health/live").status == running.ask("/v2/health/ready").status == 200
    assert running.ask("/v2").json["extensions"] == ["binary_tensor_data"]
    model = running.ask("/v2/models/from_scratch").json
    assert (model["name"], model["versions"], model["parameters"]["classes"]) == ("from_scratch", [], list(CLASSES))
    assert model["inputs"][1]["shape"] == [-1, 32, 32, 3]
    shapes = {output["name"]: output["shape"] for output in model["outputs"]}
    assert (shapes["probabilities"], shapes["nearest_id"]) == ([-1, 3], [-1, 10])
    assert running.ask("/v2/models/from_scratch/ready").status == 200
    assert running.ask("/v2/models/other").json["error"] == "no model 'other' : this service has from_scratch"
    assert running.ask("/v2/models/from_scratch/versions/9/infer", write_v2(GOLDEN["grey.jpg"])).status == 404


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "message"),
    [
        ("/predict", b"", {}, 422, "image: the file is empty"),
        ("/predict", b"a picture", {}, 422, "image: text, which begins with 'a picture'"),
        ("/predict", GOLDEN["grey.jpg"][:900], {}, 422, "image: "),
        ("/predict", encode(Image.new("1", (9000, 9000)), "PNG"), {}, 422, "9000 x 9000 pixels are more than 1,000"),
        (
            "/predict",
            GOLDEN["grey.jpg"],
            {"Content_Type": "text/plain"},
            415,
            "content type 'text/plain': send an image",
        ),
        ("/predict", b"", {"Content_Type": "multipart/form-data"}, 400, "form"),
        ("/predict", b"x", {"Content_Type": FORM}, 400, "form"),
        ("/predict", write_form(), {"Content_Type": FORM}, 400, "the form holds no file"),
        ("/predict", write_form(*[("a", b"")] * 33), {"Content_Type": FORM}, 413, "Too many files"),
        ("/predict", write_form(("a", GOLDEN["grey.jpg"]), ("b", b"?")), {"Content_Type": FORM}, 422, "b: text"),
        (INFER, b"{", {}, 400, "its JSON cannot be read"),
        (INFER, write_v2(b"a picture"), {}, 422, "image 0: text"),
        ("/explain?class=lilac", GOLDEN["grey.jpg"], {}, 400, "no class 'lilac': this model has blue, green, red"),
        ("/explain", write_form(("a", b""), ("b", b"")), {"Content_Type": FORM}, 413, "2 images: one at a time"),
        ("/nowhere", None, {}, 404, "Not Found"),
        ("/predict", None, {}, 405, "Method Not Allowed"),
        ("/pictures/abc/0", None, {}, 404, "no picture of the model"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(
    running: Running, path: str, body: bytes | None, headers: dict[str, str], status: int, message: str
) -> None:
    answer = running.ask(path, body, **headers)
    assert answer.status == status, answer.body
    assert message in answer.json["error"]
    assert "\n" not in answer.json["error"]


def test_metrics_count_what_happened(running: Running) -> None:
    before = running.count('unfreeze_requests_total{path="/predict",status="422"}')
    running.ask("/predict", b"a picture")
    running.ask("/predict", GOLDEN["grey.jpg"])
    text = running.ask("/metrics").body.decode()
    assert running.count('unfreeze_requests_total{path="/predict",status="422"}') == before + 1
    for phase in ("receive", "decode", "wait", "network", "answer", "whole"):
        assert running.count(f'unfreeze_phase_seconds_count{{phase="{phase}"}}') > 0
    assert 'unfreeze_model{digest="' in text
    assert "process_resident_memory_bytes" in text


def test_a_token_is_needed_where_there_is_one(packed: Path) -> None:
    with run_service(packed, token="secret") as one:
        for headers in ({}, {"Authorization": "Bearer secre"}, {"Authorization": "Basic secret"}):
            answer = one.ask("/predict", GOLDEN["grey.jpg"], **headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert one.ask("/metrics", **headers).status == 401
        assert one.ask("/predict", GOLDEN["grey.jpg"], Authorization="Bearer secret").status == 200
        # The page asks for the token, and load balancers know none.
        assert [one.ask(path).status for path in ("/", "/v2/health/live", "/v2/health/ready")] == [200] * 3
        # Behind a token any name may lead here.
        assert one.ask("/metrics", Authorization="Bearer secret", Host="cells.example").status == 200


def test_without_a_token_pages_of_other_sites_cannot_ask(running: Running) -> None:
    answer = running.ask("/predict", GOLDEN["grey.jpg"], Host="evil.example:8000")
    assert (answer.status, answer.json["error"]) == (
        421, "host 'evil.example:8000' is not this machine: ask 127.0.0.1 or localhost",
    )  # fmt: skip
    assert running.ask("/metrics", Host=f"localhost:{running.port}").status == 200
