"""Messages of the Open Inference Protocol V2: JSON, and Triton's extension for binary tensors."""

import base64
import binascii
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unfreeze.serving.service.answers import write_json
from unfreeze.serving.service.limits import Refusal

HEADER = "Inference-Header-Content-Length"
IMAGE, PIXELS = "image", "pixels"
# Outputs by name: their type, and what stands for each axis.
OUTPUTS = {
    "class": ("BYTES", (-1,)),
    "probabilities": ("FP64", (-1, "classes")),
    "accepted": ("BOOL", (-1,)),
    "reason": ("BYTES", (-1,)),
    "nearest_id": ("BYTES", (-1, "nearest")),
    "nearest_label": ("BYTES", (-1, "nearest")),
    "nearest_distance": ("FP64", (-1, "nearest")),
}
DTYPES = {"FP64": np.float64, "BOOL": np.bool_}
MOST_AXES = 4


@dataclass(frozen=True)
class Asked:
    """A request for inference.

    Args:
        images: Image files; empty where pixels are given.
        pixels: uint8 array of shape (images, size, size, 3), or None.
        outputs: Names of the wanted outputs, and whether each is wanted as binary.
        id: What the client calls the request; None if nothing.
    """

    images: Sequence[bytes]
    pixels: np.ndarray | None
    outputs: dict[str, bool]
    id: str | None


def describe_inputs(size: int) -> list[dict[str, Any]]:
    """Return the metadata of the inputs, one of which a request gives.

    Args:
        size: Side of the square that the network takes, pixels.
    """
    return [
        {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
        {"name": PIXELS, "datatype": "UINT8", "shape": [-1, size, size, 3]},
    ]


def describe_outputs(classes: int, nearest: int) -> list[dict[str, Any]]:
    """Return the metadata of the outputs.

    Args:
        classes: Number of classes.
        nearest: Number of the training images that an answer names.
    """
    sides = {"classes": classes, "nearest": nearest}
    return [
        {"name": name, "datatype": kind, "shape": [sides.get(str(axis), axis) for axis in axes]}
        for name, (kind, axes) in OUTPUTS.items()
    ]


def read_request(body: bytes, header_length: str | None, *, size: int, most: int) -> Asked:
    """Read a request for inference.

    Args:
        body: The request's body.
        header_length: Its header `Inference-Header-Content-Length`, if any. 0 says that the body is one image file.
        size: Side of the square that the network takes, pixels.
        most: Images that a request may hold.

    Raises:
        Refusal: It is not what the protocol or this model expects.
    """
    length = len(body) if header_length is None else _read_length(header_length, len(body))
    if header_length is not None and not length:
        return Asked([body], None, dict.fromkeys(OUTPUTS, False), None)
    head = _read_json(body[:length])
    inputs = _read_list(head, "inputs")
    tensor = inputs[0] if len(inputs) == 1 else None
    if not isinstance(tensor, dict) or tensor.get("name") not in (IMAGE, PIXELS):
        raise _refuse(f"expected one input, {IMAGE} or {PIXELS}")
    outputs = _read_outputs(head)
    name = head.get("id")
    if name is not None and not isinstance(name, str):
        raise _refuse("id is no text")
    data = _read_data(tensor, body[length:])
    if tensor["name"] == IMAGE:
        return Asked(_read_images(tensor, data, most), None, outputs, name)
    return Asked([], _read_pixels(tensor, data, size, most), outputs, name)


def write_answer(
    asked: Asked, described: Sequence[dict[str, Any]], model: dict[str, Any]
) -> tuple[bytes, dict[str, str]]:
    """Return the body of an answer and its headers.

    Args:
        asked: The request.
        described: What `answers.describe_answer` returned, one an image.
        model: What `answers.describe_model` returned.
    """
    outputs, parts = [], []
    for name, is_binary in asked.outputs.items():
        values = _collect(name, described)
        kind = OUTPUTS[name][0]
        output: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(np.shape(values))}
        if is_binary:
            parts.append(_pack(values, kind))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = np.asarray(values).ravel().tolist()
        outputs.append(output)
    answer: dict[str, Any] = {
        "model_name": model["name"],
        "model_version": model["version"] or "",
        "parameters": {"digest": model["digest"]},
        "outputs": outputs,
    }
    if asked.id is not None:
        answer["id"] = asked.id
    head = write_json(answer)
    if not any(asked.outputs.values()):
        return head, {"Content-Type": "application/json"}
    return b"".join([head, *parts]), {"Content-Type": "application/octet-stream", HEADER: str(len(head))}


def _refuse(reason: str) -> Refusal:
    return Refusal(400, f"no request of the Open Inference Protocol V2 for this model: {reason}", "message")


def _read_length(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or int(text) > most:
        raise _refuse(f"{HEADER} is {text[:20]!r}, expected a number up to the body's {most:,} bytes")
    return int(text)


def _read_json(data: bytes) -> dict[str, Any]:
    try:
        head = json.loads(data)
    # Deep nesting ends the parser by the second one.
    except (ValueError, RecursionError):
        raise _refuse("its JSON cannot be read") from None
    if not isinstance(head, dict):
        raise _refuse("its JSON is no object")
    return head


def _read_list(owner: dict[str, Any], key: str) -> list[Any]:
    value = owner.get(key, [])
    if not isinstance(value, list):
        raise _refuse(f"{key} is no list")
    return value


def _read_parameters(owner: dict[str, Any]) -> dict[str, Any]:
    value = owner.get("parameters", {})
    if not isinstance(value, dict):
        raise _refuse("parameters are no object")
    return value


def _read_outputs(head: dict[str, Any]) -> dict[str, bool]:
    by_default = _read_flag(_read_parameters(head), "binary_data_output", default=False)
    wanted = {}
    for output in _read_list(head, "outputs"):
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in OUTPUTS:
            raise _refuse(f"an output is none of {', '.join(OUTPUTS)}")
        wanted[name] = _read_flag(_read_parameters(output), "binary_data", default=by_default)
    return wanted or dict.fromkeys(OUTPUTS, by_default)


def _read_flag(parameters: dict[str, Any], key: str, *, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise _refuse(f"{key} is neither true nor false")
    return value


def _read_data(tensor: dict[str, Any], rest: bytes) -> bytes | list[Any]:
    """Return a tensor's data: bytes of the binary extension, or values of the JSON."""
    size = _read_parameters(tensor).get("binary_data_size")
    if size is None:
        if rest:
            raise _refuse(f"{len(rest):,} bytes behind the JSON that no input names by binary_data_size")
        if "data" not in tensor:
            raise _refuse("the input has no data")
        return _read_list(tensor, "data")
    if not _is_count(size) or size != len(rest) or "data" in tensor:
        raise _refuse(f"binary_data_size is {str(size)[:20]}, {len(rest):,} bytes follow the JSON")
    return rest


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _read_shape(tensor: dict[str, Any], kind: str, most: int) -> list[int]:
    """Return a tensor's shape, whose first axis are the images."""
    if tensor.get("datatype") != kind:
        raise _refuse(f"the datatype of {tensor['name']} is {str(tensor.get('datatype'))[:20]!r}, expected {kind}")
    shape = _read_list(tensor, "shape")
    if not 1 <= len(shape) <= MOST_AXES or not all(_is_count(side) for side in shape) or not shape[0]:
        raise _refuse("shape is no list of the sides of at least one image")
    if shape[0] > most:
        raise Refusal(413, f"more than {most} images: send them in several requests", "files")
    return shape


def _read_images(tensor: dict[str, Any], data: bytes | list[Any], most: int) -> list[bytes]:
    shape = _read_shape(tensor, "BYTES", most)
    if shape[1:] not in ([], [1]):
        raise _refuse(f"the shape of {IMAGE} is {shape}, expected the number of images")
    images = _unpack(data, most) if isinstance(data, bytes) else [_decode_text(text) for text in _flatten(data)]
    if len(images) != shape[0]:
        raise _refuse(f"{len(images)} images, but the shape {shape}")
    return images


def _flatten(data: list[Any]) -> list[Any]:
    """Return values that are in a list each, as one list."""
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]


def _decode_text(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _refuse(f"{IMAGE} holds something else than image files in base64") from None


def _unpack(data: bytes, most: int) -> list[bytes]:
    """Return the elements of a binary BYTES tensor: each has its length before it, 4 bytes, the lowest first."""
    elements: list[bytes] = []
    position = 0
    while position < len(data) and len(elements) <= most:
        length = int.from_bytes(data[position : position + 4], "little")
        end = position + 4 + length
        if end > len(data):
            raise _refuse(f"the binary data of {IMAGE} break off")
        elements.append(data[position + 4 : end])
        position = end
    return elements


def _read_pixels(tensor: dict[str, Any], data: bytes | list[Any], size: int, most: int) -> np.ndarray:
    shape = _read_shape(tensor, "UINT8", most)
    if shape[1:] != [size, size, 3]:
        raise _refuse(f"the shape of {PIXELS} is {shape}, expected [images, {size}, {size}, 3]")
    if isinstance(data, bytes):
        values = np.frombuffer(data, np.uint8)
    else:
        try:
            values = np.asarray(data)
        except (ValueError, OverflowError):
            raise _refuse(f"the data of {PIXELS} are no array") from None
        if values.dtype.kind not in "iu" or values.size and not 0 <= values.min() <= values.max() <= 255:
            raise _refuse(f"the data of {PIXELS} are no integers from 0 to 255")
    if values.size != math.prod(shape) or values.ndim > 1 and list(values.shape) != shape:
        raise _refuse(f"the data of {PIXELS} have another size than their shape {shape}")
    return values.astype(np.uint8).reshape(shape)


def _collect(name: str, described: Sequence[dict[str, Any]]) -> Any:
    """Return an output's values, the images first."""
    if name == "probabilities":
        return [list(one[name].values()) for one in described]
    if name.startswith("nearest_"):
        key = name.removeprefix("nearest_")
        return [[near[key] for near in one["nearest"]] for one in described]
    return [one[name] for one in described]


def _pack(values: Any, kind: str) -> bytes:
    if kind != "BYTES":
        return np.asarray(values, DTYPES[kind]).tobytes()
    texts = [str(text).encode() for text in np.asarray(values, dtype=object).ravel()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
