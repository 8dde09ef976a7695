"""Answers as JSON."""

import json
from typing import Any

import numpy as np

from unfreeze.serving.classifier import Answers
from unfreeze.serving.service.served import Served


def describe_model(served: Served) -> dict[str, Any]:
    """Return which model answers.

    Args:
        served: The model.
    """
    return {"name": served.name, "version": served.located.version, "digest": served.digest}


def describe_answer(served: Served, answers: Answers, source: str) -> dict[str, Any]:
    """Return what the model says of an image.

    Args:
        served: The model.
        answers: Of one image.
        source: What the client calls the image.
    """
    (probabilities,), (reason,) = answers.probabilities, answers.reasons
    classes = served.classifier.classes
    return {
        "source": source,
        "class": classes[int(np.argmax(probabilities))],
        "probabilities": dict(zip(classes, probabilities.tolist(), strict=True)),
        "accepted": not reason,
        "reason": reason,
        "nearest": describe_nearest(served, answers),
    }


def describe_nearest(served: Served, answers: Answers) -> list[dict[str, Any]]:
    """Return the training images most alike to an image, nearest first.

    Args:
        served: The model.
        answers: Of one image.
    """
    reference, classes = served.classifier.reference, served.classifier.classes
    (rows,), (distances,) = answers.nearest.rows.tolist(), answers.nearest.distances.tolist()
    return [
        {
            "id": reference.ids[row],
            "label": classes[reference.labels[row]],
            "distance": distance,
            "picture": f"/pictures/{served.digest}/{row}",
        }
        for row, distance in zip(rows, distances, strict=True)
    ]


def write_json(value: Any) -> bytes:
    """Return JSON in UTF-8; NaN is refused."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
