"""Draw every PNG of a study from the files that earlier stages wrote."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.figures import image_grids, scores, search
from unfreeze.figures.training import training_curves
from unfreeze.paths import Paths
from unfreeze.records.predictions import Predictions


def draw_backbone(paths: Paths, backbone: str) -> None:
    """Draw the search, the training curves, the scores and the mistakes of one backbone.

    Args:
        paths: The checkout. Reads metrics/search, metrics/evaluate, plots/history, plots/roc, plots/precision_recall,
            plots/reliability, data/predictions and data/mistakes; writes plots/search/<backbone>.png and
            plots/pictures/<backbone>_*.png.
        backbone: Its name.
    """
    evaluation = files.read_json(paths.evaluation(backbone))
    title = f"{backbone}, {evaluation['images']} test images"
    classes = Predictions.read(paths.predictions(backbone)).classes
    trials = files.read_json(paths.search(backbone))["trials"]
    search.search(trials, _points_from_the_top(trials), backbone, paths.search_picture(backbone))
    training_curves({backbone: pd.read_csv(paths.history(backbone))}, paths.history_picture(backbone))
    scores.confusion(evaluation["confusion"], classes, title, paths.confusion_picture(backbone))
    scores.roc(_read_curves(paths.roc(backbone)), title, paths.roc_picture(backbone))
    precision_recall = _read_curves(paths.precision_recall(backbone))
    scores.precision_recall(precision_recall, title, paths.precision_recall_picture(backbone))
    scores.reliability(pd.read_csv(paths.reliability(backbone)), title, paths.reliability_picture(backbone))
    image_grids.draw(pd.read_parquet(paths.mistakes(backbone)), title, paths.mistakes_picture(backbone))


def draw_study(paths: Paths, backbones: Sequence[str]) -> None:
    """Draw the training curves of all backbones in one figure.

    Args:
        paths: The checkout. Reads plots/history and writes plots/all_backbones.png.
        backbones: The study's.
    """
    histories = {name: pd.read_csv(paths.history(name)) for name in backbones}
    training_curves(histories, paths.curves_picture)


def _read_curves(path: Path) -> pd.DataFrame:
    """Read curves by class; a class called 007 or NA keeps its name."""
    return pd.read_csv(path, dtype={"class": str}, keep_default_na=False)


def _points_from_the_top(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the unfreeze points that were tried, from the top of the backbone down."""
    # `none` freezes every layer and `all` freezes none; any other point is the index of the first trained layer.
    first_trained = {
        trial["unfreeze_from"]: {"none": math.inf, "all": 0}.get(trial["unfreeze_point"], trial["unfreeze_point"])
        for trial in trials
    }
    return sorted(first_trained, key=lambda name: -first_trained[name])
