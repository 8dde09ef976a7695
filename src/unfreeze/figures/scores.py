"""Pictures for reports and MLflow; the same data lies beside them as CSV for `dvc plots`."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from unfreeze.figures.png import MOST_IN_LEGEND, plain, save

MOST_WITH_COUNTS = 20
MOST_WITH_NAMES = 60


def confusion(matrix: list[list[int]], classes: list[str], title: str, path: Path) -> None:
    """Draw a confusion matrix with counts; colours are shares of the true class."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.7 * min(len(classes), MOST_WITH_COUNTS)
    figure, axis = plt.subplots(figsize=(side + 1, side), layout="constrained")
    picture = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    # Past that the numbers would overlap: colours alone remain, and then no names either.
    for (row, column), count in np.ndenumerate(counts) if len(classes) <= MOST_WITH_COUNTS else ():
        axis.text(
            column,
            row,
            str(count),
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.5 else "black",
        )
    if len(classes) <= MOST_WITH_NAMES:
        axis.set_xticks(range(len(classes)), classes, rotation=30, ha="right", parse_math=False)
        axis.set_yticks(range(len(classes)), classes, parse_math=False)
    axis.set(xlabel="predicted", ylabel="true", title=title)
    figure.colorbar(picture, label="share of the true class", shrink=0.8)
    save(figure, path)


def roc(curves: pd.DataFrame, title: str, path: Path) -> None:
    """Draw ROC curves, one a class."""
    _threshold_curves(curves, ("fpr", "false positive rate"), ("tpr", "true positive rate"), title, path)


def precision_recall(curves: pd.DataFrame, title: str, path: Path) -> None:
    """Draw precision over recall, one curve a class."""
    _threshold_curves(curves, ("recall", "recall"), ("precision", "precision"), title, path)


def reliability(bins: pd.DataFrame, title: str, path: Path) -> None:
    """Draw how often the model is right over how sure it is; the bars below tell how many images a bin holds."""
    figure, axes = plt.subplots(2, 1, figsize=(4.5, 5), layout="constrained", sharex=True, height_ratios=(3, 1))
    filled = bins[bins["images"] > 0]
    axes[0].plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    axes[0].plot(filled["confidence"], filled["accuracy"], marker="o", label="the model")
    axes[0].set(ylabel="share that is right", title=title, ylim=(0, 1.02))
    axes[0].legend(fontsize=8)
    axes[1].bar(bins["low"], bins["images"], width=bins["high"] - bins["low"], align="edge", edgecolor="white")
    axes[1].set(xlabel="probability of the predicted class", ylabel="images", xlim=(0, 1))
    for axis in axes:
        axis.grid(alpha=0.3)
    save(figure, path)


def _threshold_curves(curves: pd.DataFrame, x: tuple[str, str], y: tuple[str, str], title: str, path: Path) -> None:
    figure, axis = plt.subplots(figsize=(4.5, 4), layout="constrained")
    for name, curve in curves.groupby("class", sort=False):
        axis.plot(curve[x[0]], curve[y[0]], label=plain(str(name)))
    axis.set(xlabel=x[1], ylabel=y[1], title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if curves["class"].nunique() <= MOST_IN_LEGEND:
        axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    save(figure, path)
