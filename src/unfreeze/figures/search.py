"""The figure of a search."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from unfreeze.figures.png import save


def search(trials: list[dict[str, Any]], points: list[str], title: str, path: Path) -> None:
    """Draw the scores of a search over unfreeze point and rate, and over trials; failed ones are crosses.

    Args:
        trials: One row a trial, the configured point and settings first.
        points: Names of the unfreeze points, from the top of the backbone down.
        title: What is searched.
        path: PNG to write.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=(2, 1))
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
    axes[1].plot(
        range(len(scored)), [trial["score"] for trial in scored], "o", color="C0", alpha=0.6, label="a trial"
    )
    axes[1].step(range(len(scored)), best, where="post", color="C1", label="best so far")
    axes[1].set(xlabel="trial", ylabel="score")
    axes[1].grid(alpha=0.3)
    axes[1].legend(fontsize=8)
    save(figure, path)
