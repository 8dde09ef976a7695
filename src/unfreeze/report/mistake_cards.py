"""The pictures that tell most about a model, as data addresses."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unfreeze.figures.formats import percent

MOST_NEIGHBOURS = 3


@dataclass(frozen=True)
class Neighbour:
    """A training image near a picture."""

    label: str
    picture: str


@dataclass(frozen=True)
class Card:
    """A picture, what the model saw in it, and the training images nearest to it.

    Args:
        name: The image's id.
        told: What the model says and what the picture is.
        picture: Data address.
        heatmap: Data address; empty where there is none.
        neighbours: The nearest first.
    """

    name: str
    told: str
    picture: str
    heatmap: str
    neighbours: Sequence[Neighbour]


def cards(mistakes: pd.DataFrame, kind: str) -> list[Card]:
    """Return the first pictures of a kind.

    Args:
        mistakes: One row a picture, as data/mistakes/ holds them.
        kind: mistake or doubtful.
    """
    return [_card(row) for row in mistakes[mistakes["kind"] == kind].to_dict("records")]


def _card(row: Mapping[Any, Any]) -> Card:
    near = [Neighbour(near["label"], _address(near["picture"])) for near in row["neighbours"][:MOST_NEIGHBOURS]]
    told = f"says {row['predicted']} {percent(row['probability'])}, is {row['label']}"
    return Card(row["id"], told, _address(row["picture"]), _address(row["heatmap"]), near)


def _address(jpeg: bytes | None) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""
