"""Grids of images: what a model got wrong, and where champion and challenger disagree."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from unfreeze import files
from unfreeze.figures.png import save
from unfreeze.images import decoding, jpeg
from unfreeze.paths import Paths
from unfreeze.records.judgement_record import Flip

COLUMNS = 4
FLIP_COLUMNS = 6
# Of those the challenger mends, and as many of those it spoils.
MOST_FLIPS = 12
FLIP_SIDE = 128


def draw(shown: pd.DataFrame, title: str, path: Path) -> None:
    """Draw pictures that the model got wrong or was in doubt about, each with Grad-CAM beside it.

    Args:
        shown: Rows with picture, heatmap (JPEG), label, predicted, probability and kind.
        title: Heading.
        path: PNG to write.
    """
    rows = max(-(-len(shown) // COLUMNS), 1)
    figure, axes = plt.subplots(
        rows, COLUMNS, figsize=(3.6 * COLUMNS, 2.1 * rows), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, row in zip(axes.flat, shown.to_dict("records"), strict=False):
        axis.imshow(np.concatenate([jpeg.pixels(row["picture"]), jpeg.pixels(row["heatmap"])], axis=1))
        said = f"says {row['predicted']} {row['probability']:.0%}"
        said += f", is {row['label']}" if row["kind"] == "mistake" else ", right but in doubt"
        axis.set_title(said, fontsize=8, parse_math=False)
    figure.suptitle(title if len(shown) else f"{title}: nothing to show")
    save(figure, path)


def draw_flips(flips: Sequence[Flip], paths: Paths, *, most_pixels: int) -> None:
    """Write reports/flips.png: what the challenger spoils before what it mends; no file where they agree on all.

    Args:
        flips: Images of the test fold on which the two disagree.
        paths: The checkout with the images.
        most_pixels: Most pixels an image may have to be shown.
    """
    shown = [
        flip for better in (False, True) for flip in [flip for flip in flips if flip.better is better][:MOST_FLIPS]
    ]
    if not shown:
        files.remove(paths.flips_picture)
        return
    rows = -(-len(shown) // FLIP_COLUMNS)
    figure, axes = plt.subplots(
        rows, FLIP_COLUMNS, figsize=(1.9 * FLIP_COLUMNS, 2.3 * rows), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, flip in zip(axes.flat, shown, strict=False):
        image = decoding.open_image(paths.raw / flip.id, max_pixels=most_pixels).rgb
        axis.imshow(jpeg.pixels(jpeg.jpeg(image, side=FLIP_SIDE)))
        colour = "tab:green" if flip.better else "tab:red"
        what = "mended" if flip.better else "spoiled"
        told = f"{what}: is {flip.label}\n{flip.champion} → {flip.challenger}"
        axis.set_title(told, fontsize=8, color=colour, parse_math=False)
    save(figure, paths.flips_picture)
