"""Images of the test fold that people should see: mistakes and doubtful ones, with what the model saw in them."""

from typing import Any

import numpy as np
import pandas as pd

from unfreeze.features import pooled
from unfreeze.features.pooled import Pooled
from unfreeze.images import jpeg, store
from unfreeze.paths import Paths

# Pixels of what is shown: six backbones with all their pictures then fit into a page of 15 MB.
PICTURE_SIDE = 160
NEIGHBOUR_SIDE = 96


def pick_images(labels: np.ndarray, probabilities: np.ndarray, most: int) -> pd.DataFrame:
    """Pick the images that people should see.

    Args:
        labels: Class numbers, shape (images,).
        probabilities: Shape (images, classes).
        most: How many of each kind.

    Returns:
        `place` in the fold, `kind` (mistake: the most confident first; doubtful: right, the least sure first), and
        `probability` and number of the class that was `predicted`.
    """
    table = pd.DataFrame(
        {
            "place": np.arange(len(labels)),
            "kind": np.where(probabilities.argmax(axis=1) == labels, "doubtful", "mistake"),
            "probability": probabilities.max(axis=1),
            "predicted": probabilities.argmax(axis=1),
        }
    ).sort_values("probability", kind="stable")
    doubtful = table[table["kind"] == "doubtful"].head(most)
    mistakes = table[table["kind"] == "mistake"].tail(most).iloc[::-1]
    return pd.concat([mistakes, doubtful], ignore_index=True)


def explain_images(
    paths: Paths, model: Any, images: store.Images, rows: np.ndarray, picks: pd.DataFrame, of_images: Pooled | None
) -> pd.DataFrame:
    """Return the picked images with their pictures, Grad-CAM laid over them, and the training images most alike.

    Args:
        paths: Where images lie.
        model: The whole model.
        images: What the store says of itself.
        rows: Rows of the test fold in the store.
        picks: From `pick_images`.
        of_images: Features of the training images; None if none are stored.

    Returns:
        Columns kind, id, label, predicted, probability, picture, heatmap (JPEG) and neighbours, a list of mappings.
    """
    from unfreeze.models import explanations

    shown = rows[picks["place"]]
    pixels = store.read_pixels(paths.images, shown)
    seen = explanations.explain(
        model, pixels, picks["predicted"].to_numpy(), position=of_images.position if of_images else 0
    )
    names = np.array(images.classes)
    return pd.DataFrame(
        {
            "kind": picks["kind"],
            "id": [images.ids[row] for row in shown],
            "label": names[images.labels[shown]],
            "predicted": names[picks["predicted"]],
            "probability": picks["probability"],
            "picture": [jpeg.encode(picture, side=PICTURE_SIDE) for picture in pixels],
            "heatmap": [
                jpeg.encode(picture, side=PICTURE_SIDE) for picture in explanations.overlay(pixels, seen.heat)
            ],
            # What is stored was frozen in training, so the trained model gives the same there.
            "neighbours": find_neighbours(paths, images, of_images, seen.activations)
            if of_images
            else [[]] * len(shown),
        }
    )


def find_neighbours(
    paths: Paths, images: store.Images, of_images: Pooled, activations: np.ndarray
) -> list[list[dict[str, Any]]]:
    """Return for each picture the training images with the most similar features.

    Args:
        paths: Where images lie.
        images: What the store says of itself.
        of_images: Features of the training images.
        activations: The pictures', at the same position of the backbone.
    """
    from unfreeze.models import explanations

    if not len(activations):
        return []
    train = of_images.take_fold("train")
    indices, distances = explanations.find_nearest(train.vectors, pooled.average_places(activations))
    found = pd.Index(images.ids).get_indexer(train.ids[indices].ravel()).reshape(indices.shape)
    alike = store.read_pixels(paths.images, found.ravel()).reshape(*found.shape, images.size, images.size, 3)
    return [
        [
            {
                "id": images.ids[row],
                "label": images.classes[images.labels[row]],
                "distance": float(distance),
                "picture": jpeg.encode(picture, side=NEIGHBOUR_SIDE),
            }
            for row, distance, picture in zip(*one, strict=True)
        ]
        for one in zip(found, distances, alike, strict=True)
    ]
