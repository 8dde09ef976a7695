"""Thousands of broken requests: no crash, no status 500, and no answer to what is no question."""

import base64
import io
import json
import logging
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.serving.packed import draw_image
from tests.serving.service.running import FORM, Answer, Running, write_binary_v2, write_form, write_v2
from tests.serving.service.test_app import GOLDEN, INFER, encode
from unfreeze.images.decoding import Undecodable
from unfreeze.serving.classifier import Classifier

# All of them: HOSTILE=5000 pytest tests/serving/service/test_hostile.py
REQUESTS = int(os.environ.get("HOSTILE", "400"))
SEED = 0
IMAGES = [
    *GOLDEN.values(),
    encode(draw_image("red", 1), "AVIF"),
    encode(draw_image("red", 2), "JPEG2000"),
    encode(draw_image("red", 3), "BMP"),
    encode(draw_image("red", 4), "PPM"),
]
NO_HTTP = b"Invalid HTTP request received."
VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 10**400, "", "x" * 300, "\ud800", [], [[]], {}, {"a": 1}, [None], ["é"], "NaN", [1, [2]],
]  # fmt: skip
FIELDS = ("inputs", "outputs", "id", "parameters", "name", "datatype", "shape", "data", "binary_data_size")


def damage(data: bytes, chance: random.Random) -> bytes:
    """Change, cut, double or fill some bytes."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 3, 20])):
        if not changed:
            break
        place = chance.randrange(len(changed))
        match chance.randrange(5):
            case 0:
                changed[place] = chance.randrange(256)
            case 1:
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                del changed[place:]
            case 3:
                changed[place:place] = changed[place : place + chance.randrange(200)]
            case _:
                changed[place : place + 8] = chance.randbytes(8)
    return bytes(changed)


def spoil(value: Any, chance: random.Random) -> Any:
    """Replace something in a JSON value."""
    if chance.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return chance.choice(VALUES)
    if isinstance(value, dict):
        key = chance.choice([*value, *FIELDS])
        return {**value, key: spoil(value.get(key), chance)}
    place = chance.randrange(len(value))
    return [*value[:place], spoil(value[place], chance), *value[place + 1 :]]


def send_image(running: Running, chance: random.Random) -> tuple[Answer, list[bytes]]:
    data = damage(chance.choice(IMAGES), chance)
    return running.ask("/predict", data), [data]


def send_form(running: Running, chance: random.Random) -> tuple[Answer, list[bytes] | None]:
    body = damage(write_form(*[(f"{n}.png", chance.choice(IMAGES)) for n in range(chance.randrange(3))]), chance)
    kind = chance.choice([FORM, FORM, "multipart/form-data", f"{FORM}x", "multipart/form-data; boundary=\xff"])
    return running.ask("/predict", body, Content_Type=kind), read_form(body) if kind == FORM else None


def send_json(running: Running, chance: random.Random) -> tuple[Answer, list[bytes] | None]:
    message = json.loads(write_v2(chance.choice(IMAGES), outputs=[{"name": "probabilities"}], id="7"))
    if chance.random() < 0.3:
        size = {"name": "pixels", "datatype": "UINT8", "shape": [1, 32, 32, 3], "data": [7] * 3072}
        message["inputs"] = [size]
    body = json.dumps(spoil(message, chance)).encode()
    body = damage(body, chance) if chance.random() < 0.3 else body
    return running.ask(INFER, body), read_json(body)


def send_binary(running: Running, chance: random.Random) -> tuple[Answer, list[bytes] | None]:
    body, length = write_binary_v2(chance.choice(IMAGES), outputs=[{"name": "probabilities"}])
    body = damage(body, chance)
    length = chance.choice([length, length, length, str(chance.randrange(2 * len(body) + 1)), "-1", "x", "", "²"])
    header = length.encode("latin-1").decode("latin-1")
    return running.ask(INFER, body, Inference_Header_Content_Length=header), read_binary(body, length)


def send_headers(running: Running, chance: random.Random) -> tuple[Answer, list[bytes] | None]:
    """Send what is hardly HTTP; nothing of it holds an image."""
    path = chance.choice(["/predict", INFER, "/explain", "/nothing", "/pictures/x/²", "/v2/models/%ff%00/infer", "*"])
    lines = [
        f"{chance.choice(['POST', 'PUT', 'GOT', 'OPTIONS', 'POST', ''])} {path} HTTP/{chance.choice(['1.1', '9.9'])}",
        "Host: localhost",
        chance.choice(["Content-Length: 5", "Content-Length: -5", "Content-Length: 5, 5", "Content-Length: 1e9"]),
        chance.choice(
            ["Content-Type: " + "a/" * 2000, "X: \x01", "X" * 70_000, "Content-Type: image/png", "Expect: x"]
        ),
        chance.choice(["Connection: close", "Upgrade: websocket\r\nConnection: upgrade", "Transfer-Encoding: x"]),
        chance.choice(["", f"{chance.randbytes(9).hex()}: {chance.randbytes(9).hex()}"]),
    ]
    data = damage("\r\n".join([*lines, "", "bytes"]).encode("latin-1"), chance)
    with running.connect() as client:
        client.sendall(data)
        client.shutdown(1)
        parts = []
        try:
            while part := client.recv(65_536):
                parts.append(part)
        except ConnectionResetError:
            pass
    said = b"".join(parts)
    return Answer(int(said[9:12]) if said else 0, {}, said), None


def read_form(body: bytes) -> list[bytes] | None:
    """Return the files of a form, by another parser than the service's; None where it finds none."""
    from email.parser import BytesParser
    from email.policy import HTTP

    message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {FORM}\r\n\r\n".encode() + body)
    parts = [part for part in message.walk() if part.get_filename() is not None]
    # The parser decodes lines; what it finds is compared by its number alone.
    return [b""] * len(parts) if parts else None


def read_json(body: bytes) -> list[bytes] | None:
    try:
        (tensor,) = json.loads(body)["inputs"]
        if tensor["name"] == "pixels":
            return [np.asarray(tensor["data"]).astype(np.uint8).tobytes()]
        return [base64.b64decode(one[0] if isinstance(one, list) else one, validate=True) for one in tensor["data"]]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError):
        return None


def read_binary(body: bytes, length: str) -> list[bytes] | None:
    if length == "0":
        return [body]
    if not length.isdecimal() or int(length) > len(body):
        return None
    stream, images = io.BytesIO(body[int(length) :]), []
    while head := stream.read(4):
        images.append(stream.read(struct.unpack("<I", head)[0]) if len(head) == 4 else b"")
    return images


def find_probabilities(answer: Answer) -> list[list[float]]:
    said = json.loads(answer.body.partition(b"\n")[0]) if answer.body else {}
    if "predictions" in said:
        return [list(one["probabilities"].values()) for one in said["predictions"]]
    output = next((one for one in said["outputs"] if one["name"] == "probabilities"), None)
    assert output is not None
    return np.reshape(output["data"], output["shape"]).tolist()


SENDERS: list[Callable[..., Any]] = [send_image, send_form, send_json, send_binary, send_headers]


def test_hostile_requests_get_clear_answers(running: Running, packed: Path) -> None:
    chance = random.Random(SEED)
    classifier = Classifier(packed, batch_size=1)
    statuses: dict[tuple[str, int], int] = {}
    for number in range(REQUESTS):
        send = SENDERS[number % len(SENDERS)]
        answer, images = send(running, chance)
        key = (send.__name__, answer.status)
        statuses[key] = statuses.get(key, 0) + 1
        # No answer at all is for what is no HTTP.
        assert 400 <= answer.status < 500 or answer.status in (200, 501, 503) or send is send_headers, (key, answer)
        assert answer.status != 500, answer
        if answer.status == 200:
            assert images is not None, (number, key, answer.body[:300])
            require_right(classifier, answer, images, send)
        elif send is not send_headers and answer.body != NO_HTTP:
            assert "\n" not in answer.json["error"]
    assert running.ask("/predict", IMAGES[0]).status == 200
    # Each kind was answered in several ways: the damage is neither too small nor too large.
    assert all(len([1 for kind, _ in statuses if kind == send.__name__]) > 1 for send in SENDERS), statuses
    logging.getLogger("unfreeze").info("%s", sorted(statuses.items()))


def require_right(classifier: Classifier, answer: Answer, images: list[bytes], send: Callable[..., Any]) -> None:
    if answer.headers["content-type"] != "application/json" or b'"probabilities"' not in answer.body:
        return
    said = find_probabilities(answer)
    if send is send_form:
        # This parser takes bare line feeds for ends of lines, and so finds more parts at times.
        assert 1 <= len(said) <= len(images)
        return
    assert len(said) == len(images)
    for one, data in zip(said, images, strict=True):
        size = classifier.model.size
        if len(data) == size * size * 3 and send is send_json:
            pixels = np.frombuffer(data, np.uint8).reshape(size, size, 3)
        else:
            try:
                pixels = classifier.load(data)
            except Undecodable as error:
                raise AssertionError(f"an answer for what is no image: {error}") from error
        (expected,) = classifier.classify([pixels[None]])
        assert one == pytest.approx(expected.probabilities[0].tolist(), abs=1e-5)
