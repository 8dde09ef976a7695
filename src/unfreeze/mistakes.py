"""The picture of what a model got wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from unfreeze import pictures, plots

COLUMNS = 4


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
        axis.imshow(np.concatenate([pictures.pixels(row["picture"]), pictures.pixels(row["heatmap"])], axis=1))
        said = f"says {row['predicted']} {row['probability']:.0%}"
        said += f", is {row['label']}" if row["kind"] == "mistake" else ", right but in doubt"
        axis.set_title(said, fontsize=8, parse_math=False)
    figure.suptitle(title if len(shown) else f"{title}: nothing to show")
    plots.save(figure, path)
