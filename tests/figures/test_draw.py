"""Every PNG is drawn from files alone, to the same bytes each time."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unfreeze import files
from unfreeze.figures import draw
from unfreeze.images import jpeg
from unfreeze.paths import Paths

CLASSES = ["NA", "007"]


def trial(number: int, point: int | str, score: float | None) -> dict[str, object]:
    return {
        "trial": number, "unfreeze_from": f"from {point}", "unfreeze_point": point, "score": score,
        "settings": {"learning_rate": 1e-4 * (number + 1)}, "failed": None if score is not None else "diverged",
    }  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Paths:
    """A checkout that holds what the stages write for the backbone `tiny`."""
    paths = Paths(tmp_path)
    files.write_json(paths.evaluation("tiny"), {"images": 10, "confusion": [[4, 1], [2, 3]]})
    trials = [trial(0, 12, 0.5), trial(1, "none", 0.7), trial(2, "all", None), trial(3, 5, 0.4)]
    files.write_json(paths.search("tiny"), {"trials": trials})
    predictions = {
        "id": ["a"],
        "label": ["NA"],
        "predicted": ["NA"],
        "correct": [True],
        "p_NA": [0.9],
        "p_007": [0.1],
    }
    files.write_csv(paths.predictions("tiny"), pd.DataFrame(predictions))
    history = {
        "step": [1, 2, 3], "phase": ["head", "head", "finetune"],
        "loss": [0.9, 0.7, 0.5], "val_loss": [0.9, 0.8, 0.7], "accuracy": [0.5, 0.6, 0.7], "val_accuracy": 0.6,
    }  # fmt: skip
    files.write_csv(paths.history("tiny"), pd.DataFrame(history))
    ends = {"class": ["NA", "NA", "007", "007"]}
    files.write_csv(paths.roc("tiny"), pd.DataFrame({**ends, "fpr": [0, 1, 0, 1], "tpr": [0.2, 1, 0.1, 1]}))
    falling = {**ends, "recall": [0, 1, 0, 1], "precision": [1, 0.5, 1, 0.4]}
    files.write_csv(paths.precision_recall("tiny"), pd.DataFrame(falling))
    bins = {"low": [0, 0.5], "high": [0.5, 1], "images": [0, 10], "confidence": [None, 0.8], "accuracy": [None, 0.7]}
    files.write_csv(paths.reliability("tiny"), pd.DataFrame(bins))
    grey = jpeg.jpeg(np.full((32, 32, 3), 128, "uint8"), side=32)
    mistake = {
        "kind": "mistake", "id": "a", "label": "NA", "predicted": "007", "probability": 0.9,
        "picture": grey, "heatmap": grey, "neighbours": [],
    }  # fmt: skip
    with files.atomic(paths.mistakes("tiny")) as partial:
        pd.DataFrame([mistake]).to_parquet(partial)
    return paths


def draw_all(paths: Paths) -> dict[str, bytes]:
    """Draw the study's figures and return their bytes by file name."""
    draw.draw_backbone(paths, "tiny")
    draw.draw_study(paths, ["tiny"])
    return {path.name: path.read_bytes() for path in paths.root.glob("plots/**/*.png")}


def test_every_figure_is_drawn_to_the_same_bytes_each_time(study: Paths) -> None:
    kinds = ("history", "confusion", "roc", "precision_recall", "reliability", "mistakes")
    first = draw_all(study)
    assert set(first) == {"all_backbones.png", "tiny.png", *(f"tiny_{kind}.png" for kind in kinds)}
    assert all(picture.startswith(b"\x89PNG") for picture in first.values())
    assert draw_all(study) == first


def test_the_search_figure_does_not_depend_on_seconds(study: Paths) -> None:
    first = draw_all(study)["tiny.png"]
    record = files.read_json(study.search("tiny"))
    files.write_json(study.search("tiny"), {"trials": [{**one, "seconds": 60.0} for one in record["trials"]]})
    assert draw_all(study)["tiny.png"] == first
