import base64
import json
import struct

import numpy as np
import pytest

from unfreeze.serving.service import v2
from unfreeze.serving.service.limits import Refusal

IMAGE = b"an image"
MODEL = {"name": "cells", "version": "3", "digest": "abc"}
DESCRIBED = [
    {
        "class": "b", "probabilities": {"a": 0.25, "b": 0.75}, "accepted": False, "reason": "unsure",
        "nearest": [{"id": "x.png", "label": "é", "distance": 0.5}],
    }
]  # fmt: skip


def tensor(**changes: object) -> dict[str, object]:
    data = [base64.b64encode(IMAGE).decode()]
    return {"name": "image", "datatype": "BYTES", "shape": [1], "data": data, **changes}


def pixels(**changes: object) -> dict[str, object]:
    return {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": list(range(12)), **changes}


def read(*inputs: object, rest: bytes = b"", **more: object) -> v2.Asked:
    head = json.dumps({"inputs": list(inputs), **more}).encode()
    return v2.read_request(head + rest, str(len(head)) if rest else None, size=2, most=3)


def test_images_come_as_text_as_bytes_and_alone() -> None:
    packed = struct.pack("<I", len(IMAGE)) + IMAGE
    binary = {"name": "image", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 2 * len(packed)}}
    assert read(tensor()).images == [IMAGE]
    assert read(tensor(shape=[1, 1], data=[tensor()["data"]])).images == [IMAGE]
    assert read(binary, rest=packed * 2).images == [IMAGE, IMAGE]
    assert v2.read_request(IMAGE, "0", size=2, most=3).images == [IMAGE]


def test_pixels_come_flat_nested_and_as_bytes() -> None:
    expected = np.arange(12).reshape(1, 2, 2, 3)
    binary = pixels(parameters={"binary_data_size": 12})
    del binary["data"]
    for asked in (read(pixels()), read(pixels(data=expected.tolist())), read(binary, rest=bytes(range(12)))):
        assert asked.pixels is not None
        assert asked.pixels.dtype == np.uint8
        np.testing.assert_array_equal(asked.pixels, expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "expected one input"),
        ([tensor(), pixels()], "expected one input"),
        ([tensor(name="x")], "expected one input"),
        ([tensor(datatype="FP32")], "the datatype of image is 'FP32', expected BYTES"),
        ([tensor(data=["%%"])], "something else than image files in base64"),
        ([tensor(data=[7])], "something else than image files in base64"),
        ([tensor(shape=[2])], "1 images, but the shape"),
        ([tensor(shape=[True])], "shape is no list"),
        ([tensor(shape=[4])], "more than 3 images"),
        ([tensor(shape=[0], data=[])], "shape is no list"),
        ([tensor(parameters=[])], "parameters are no object"),
        ([tensor(parameters={"binary_data_size": 4})], "binary_data_size is 4, 0 bytes follow"),
        ([pixels(datatype="FP32")], "the datatype of pixels is 'FP32', expected UINT8"),
        ([pixels(shape=[1, 2, 3, 2])], r"expected \[images, 2, 2, 3\]"),
        ([pixels(data=[0.5] * 12)], "no integers from 0 to 255"),
        ([pixels(data=[True] * 12)], "no integers from 0 to 255"),
        ([pixels(data=[256] * 12)], "no integers from 0 to 255"),
        ([pixels(data=[10**30] * 12)], "no integers from 0 to 255"),
        ([pixels(data=[-1] * 12)], "no integers from 0 to 255"),
        ([pixels(data=[[1, 2], [3]])], "are no array"),
        ([pixels(data=[1] * 11)], "another size"),
        ([pixels(data=np.zeros((2, 6), int).tolist())], "another size"),
    ],
)
def test_a_wrong_tensor_is_refused_with_what_was_expected(given: list[object], message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        read(*given)
    assert caught.value.status in (400, 413)


@pytest.mark.parametrize(
    ("body", "length", "message"),
    [
        (b"\xff", None, "its JSON cannot be read"),
        (b"[" * 100_000, None, "its JSON cannot be read"),
        (b"[]", None, "its JSON is no object"),
        (b'{"inputs": 7}', None, "inputs is no list"),
        (b"{}", "-1", "expected a number up to the body's 2 bytes"),
        (b"{}", "3", "expected a number up to the body's 2 bytes"),
        (b"{}", "9" * 5000, "expected a number"),
    ],
)
def test_a_wrong_message_is_refused(body: bytes, length: str | None, message: str) -> None:
    with pytest.raises(Refusal, match=message):
        v2.read_request(body, length, size=2, most=3)


def test_wanted_outputs_alone_are_answered() -> None:
    asked = read(tensor(), id="7", outputs=[{"name": "class"}, {"name": "accepted"}])
    body, headers = v2.write_answer(asked, DESCRIBED, MODEL)
    assert headers == {"Content-Type": "application/json"}
    assert json.loads(body) == {
        "model_name": "cells",
        "model_version": "3",
        "id": "7",
        "parameters": {"digest": "abc"},
        "outputs": [
            {"name": "class", "datatype": "BYTES", "shape": [1], "data": ["b"]},
            {"name": "accepted", "datatype": "BOOL", "shape": [1], "data": [False]},
        ],
    }
    with pytest.raises(Refusal, match="an output is none of class, probabilities"):
        read(tensor(), outputs=[{"name": "x"}])


def test_all_outputs_are_answered_as_binary() -> None:
    asked = read(tensor(), parameters={"binary_data_output": True})
    body, headers = v2.write_answer(asked, DESCRIBED, MODEL)
    length = int(headers[v2.HEADER])
    position, values = length, {}
    for output in json.loads(body[:length])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        values[output["name"]] = (output["shape"], body[position : position + size])
        position += size
    assert position == len(body)
    assert values["probabilities"] == ([1, 2], struct.pack("<2d", 0.25, 0.75))
    assert values["accepted"] == ([1], b"\0")
    assert values["nearest_label"] == ([1, 1], struct.pack("<I", 2) + "é".encode())
    assert list(values) == list(v2.OUTPUTS)
