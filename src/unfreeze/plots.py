"""Pictures for reports and MLflow; the same data lies beside them as CSV for `dvc plots`."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from unfreeze import files

DPI = 110


def training_curves(histories: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Draw accuracy and loss over the epochs of both phases; solid lines are validation, dashed training.

    Args:
        histories: Table of each backbone's epochs, by name.
        path: PNG to write.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, metric in zip(axes, ("accuracy", "loss"), strict=True):
        for number, (name, history) in enumerate(histories.items()):
            colour = f"C{number}"
            axis.plot(history["step"], history[f"val_{metric}"], color=colour, marker=".", label=name)
            axis.plot(history["step"], history[metric], color=colour, linestyle="--", alpha=0.6)
            tuned = history.loc[history["phase"] != "head", "step"]
            if len(tuned) and len(tuned) < len(history):
                axis.axvline(tuned.min() - 0.5, color=colour, linestyle=":", linewidth=1)
        axis.set(xlabel="epoch, on from head to fine-tuning", ylabel=metric)
        axis.grid(alpha=0.3)
    axes[0].legend(title="solid: validation, dashed: training", fontsize=8, title_fontsize=8)
    _save(figure, path)


def confusion(matrix: list[list[int]], classes: list[str], title: str, path: Path) -> None:
    """Draw a confusion matrix with counts; colours are shares of the true class."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.7 * len(classes)
    figure, axis = plt.subplots(figsize=(side + 1, side), layout="constrained")
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axis.text(
            column,
            row,
            str(count),
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.5 else "black",
        )
    axis.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axis.set_yticks(range(len(classes)), classes)
    axis.set(xlabel="predicted", ylabel="true", title=title)
    figure.colorbar(picture, label="share of the true class", shrink=0.8)
    _save(figure, path)


def roc(curves: pd.DataFrame, title: str, path: Path) -> None:
    """Draw ROC curves, one a class."""
    figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
    for name, curve in curves.groupby("class", sort=False):
        axis.plot(curve["fpr"], curve["tpr"], label=str(name))
    axis.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axis.set(xlabel="false positive rate", ylabel="true positive rate", title=title)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with files.atomic(path) as partial:
        # Without the library's name and version the bytes depend on the picture alone.
        figure.savefig(partial, dpi=DPI, metadata={"Software": None})
    plt.close(figure)
