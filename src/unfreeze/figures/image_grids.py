"""Grids of images: what a model got wrong, and where champion and challenger disagree."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from unfreeze import files
from unfreeze.figures.png import save
from unfreeze.images import decoding, jpeg
from unfreeze.images.originals import Originals
from unfreeze.paths import Paths
from unfreeze.records.judgement_record import Flip

COLUMNS = 4
FLIP_COLUMNS = 6
# Most images shown that the challenger fixes, and as many that it gets wrong and the champion right.
MOST_FLIPS = 12
FLIP_SIDE = 128


def draw_mistakes(shown: pd.DataFrame, title: str, path: Path) -> None:
    """Draw images that the model got wrong or was least sure of, each with its Grad-CAM heatmap on the right.

    Args:
        shown: One row an image: picture and heatmap (JPEG), label, predicted, probability (0 to 1) and kind.
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
        axis.imshow(np.concatenate([jpeg.decode(row["picture"]), jpeg.decode(row["heatmap"])], axis=1))
        text = f"predicted {row['predicted']} {row['probability']:.0%}"
        text += f", true {row['label']}" if row["kind"] == "mistake" else ", right but unsure"
        axis.set_title(text, fontsize=8, parse_math=False)
    figure.suptitle(title if len(shown) else f"{title}: nothing to show")
    save(figure, path)


def draw_flips(flips: Sequence[Flip], paths: Paths, *, max_pixels: int) -> None:
    """Write reports/flips.png: images that regressed, then images that the challenger fixed; no file without any.

    Args:
        flips: Images of the test fold on which the two disagree.
        paths: The checkout with the images.
        max_pixels: Most pixels an image may have to be decoded.
    """
    shown = [
        flip for better in (False, True) for flip in [flip for flip in flips if flip.better is better][:MOST_FLIPS]
    ]
    if not shown:
        files.remove(paths.flips_picture)
        return
    images = Originals.open(paths)
    rows = -(-len(shown) // FLIP_COLUMNS)
    figure, axes = plt.subplots(
        rows, FLIP_COLUMNS, figsize=(1.9 * FLIP_COLUMNS, 2.3 * rows), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, flip in zip(axes.flat, shown, strict=False):
        image = decoding.open_image(images.read(flip.id), max_pixels=max_pixels).rgb
        axis.imshow(jpeg.decode(jpeg.encode(image, side=FLIP_SIDE)))
        colour = "tab:green" if flip.better else "tab:red"
        what = "fixed" if flip.better else "regressed"
        text = f"{what}: true {flip.label}\n{flip.champion} → {flip.challenger}"
        axis.set_title(text, fontsize=8, color=colour, parse_math=False)
    save(figure, paths.flips_picture)
