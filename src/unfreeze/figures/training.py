"""The figure of training curves."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from unfreeze.figures.png import save


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
