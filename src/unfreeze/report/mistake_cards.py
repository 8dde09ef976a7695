"""Mistakes and uncertain predictions as cards: image, heatmap and similar training images as data URLs."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unfreeze.figures.formats import format_percent

MOST_NEIGHBOURS = 3


@dataclass(frozen=True)
class Neighbour:
    """A training image with similar features: its label, and the image as a data URL."""

    label: str
    picture: str


@dataclass(frozen=True)
class Card:
    """A test image with its prediction.

    Args:
        name: The image's id.
        caption: The predicted and the true class.
        picture: The image as a data URL.
        heatmap: The Grad-CAM heatmap as a data URL; empty where there is none.
        neighbours: The training images with the most similar features, the most similar first.
    """

    name: str
    caption: str
    picture: str
    heatmap: str
    neighbours: Sequence[Neighbour]


def make_cards(mistakes: pd.DataFrame, kind: str) -> list[Card]:
    """Return the cards of a kind, in the order of the table.

    Args:
        mistakes: One row an image, as data/mistakes/ holds them.
        kind: mistake or doubtful.
    """
    return [_make_card(row) for row in mistakes[mistakes["kind"] == kind].to_dict("records")]


def _make_card(row: Mapping[Any, Any]) -> Card:
    near = [Neighbour(near["label"], _to_data_url(near["picture"])) for near in row["neighbours"][:MOST_NEIGHBOURS]]
    caption = f"predicted {row['predicted']} {format_percent(row['probability'])}, true {row['label']}"
    return Card(row["id"], caption, _to_data_url(row["picture"]), _to_data_url(row["heatmap"]), near)


def _to_data_url(jpeg: bytes | None) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""
