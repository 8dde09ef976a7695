"""Pictures for reports and MLflow; the same data lies beside them as CSV for `dvc plots`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from unfreeze import files

DPI = 110
# zlib's own default takes four times as long, for a photograph 8 % smaller.
COMPRESSION = 2
# A legend of more hides the curves.
MOST_IN_LEGEND = 12
MOST_WITH_COUNTS = 20
MOST_WITH_NAMES = 60


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
    save(figure, path)


def search(trials: list[dict[str, Any]], points: list[str], title: str, path: Path) -> None:
    """Draw the scores of a search over unfreeze point and rate, and over trials and time; failed ones are crosses.

    Args:
        trials: One row a trial, the configured point and settings first.
        points: Names of the unfreeze points, from the top of the backbone down.
        title: What is searched.
        path: PNG to write.
    """
    figure, axes = plt.subplots(1, 3, figsize=(14, 4), layout="constrained", width_ratios=(2, 1, 1))
    figure.suptitle(title if trials else f"{title}: the search is off")
    scored = [trial for trial in trials if not trial["failed"]]
    names = [*points, *sorted({trial["unfreeze_from"] for trial in trials} - set(points))]
    for failed, mark in ((True, "x"), (False, "o")):
        shown = [trial for trial in trials if bool(trial["failed"]) == failed]
        if shown:
            picture = axes[0].scatter(
                [trial["settings"]["learning_rate"] for trial in shown],
                [names.index(trial["unfreeze_from"]) for trial in shown],
                c="grey" if failed else [trial["score"] for trial in shown],
                marker=mark,
                cmap=None if failed else "viridis_r",
                s=70,
            )
            if not failed:
                figure.colorbar(picture, ax=axes[0], label="score: smoothed validation loss")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set(xscale="log", xlabel="learning rate", ylabel="unfrozen from")
    best = np.minimum.accumulate(np.array([trial["score"] for trial in scored]))
    minutes = np.cumsum([trial.get("seconds", 0.0) for trial in scored]) / 60
    for axis, along, label in (
        (axes[1], range(len(scored)), "trial"),
        (axes[2], minutes, "minutes of trials"),
    ):
        axis.plot(along, [trial["score"] for trial in scored], "o", color="C0", alpha=0.6, label="a trial")
        axis.step(along, best, where="post", color="C1", label="best so far")
        axis.set(xlabel=label, ylabel="score")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    save(figure, path)


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
        axis.plot(curve[x[0]], curve[y[0]], label=_plain(str(name)))
    axis.set(xlabel=x[1], ylabel=y[1], title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if curves["class"].nunique() <= MOST_IN_LEGEND:
        axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    save(figure, path)


def _plain(name: str) -> str:
    """Keep a legend from reading a name with dollars as a formula."""
    return name.replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write a picture so that its bytes depend on it alone."""
    with files.atomic(path) as partial:
        # Without the library's name and version the bytes depend on the picture alone.
        figure.savefig(partial, dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": COMPRESSION})
    plt.close(figure)
