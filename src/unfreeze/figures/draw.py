"""Draw every PNG of a study from the files that earlier stages wrote."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unfreeze.figures import image_grids, vega
from unfreeze.figures.data import BackboneData, StudyData
from unfreeze.figures.registry import load_charts
from unfreeze.paths import Paths


def draw_backbone(paths: Paths, backbone: str) -> None:
    """Draw all charts of one backbone, and the grid of its mistakes.

    Args:
        paths: The checkout. Reads metrics/search, metrics/evaluate, metrics/learning_curve, plots/history, plots/roc,
            plots/precision_recall, plots/reliability, plots/risk_coverage, data/predictions and data/mistakes; writes
            plots/pictures/<backbone>_<chart>.png.
        backbone: The backbone's name.
    """
    data = BackboneData.read(paths, backbone)
    images = f"{data.scores.images:,} test images"
    for name, entry in load_charts().of_backbone.items():
        vega.write_png(entry.draw(data), f"{backbone}, {images}", paths.backbone_chart(backbone, name))
    mistakes = pd.read_parquet(paths.mistakes(backbone))
    image_grids.draw_mistakes(mistakes, f"{backbone}, {images}", paths.mistakes_picture(backbone))


def draw_study(paths: Paths, backbones: Sequence[str]) -> None:
    """Draw all charts that show every backbone of the study.

    Args:
        paths: The checkout. Reads metrics/verdict.json and what `draw_backbone` reads; writes
            plots/pictures/all_<chart>.png.
        backbones: Names of the study's backbones.
    """
    data = StudyData.read(paths, backbones)
    title = f"{data.verdict.study.name} on {data.verdict.study.data}"
    for name, entry in load_charts().of_study.items():
        vega.write_png(entry.draw(data), title, paths.study_chart(name))


def list_backbone_pictures(paths: Paths, backbone: str) -> list[Path]:
    """Return the PNGs that `draw_backbone` writes."""
    charts = [paths.backbone_chart(backbone, name) for name in load_charts().of_backbone]
    return [*charts, paths.mistakes_picture(backbone)]


def list_study_pictures(paths: Paths) -> list[Path]:
    """Return the PNGs that `draw_study` writes."""
    return [paths.study_chart(name) for name in load_charts().of_study]
