"""How many epochs the other side gets, what is compared, and the page."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmarks import best
from benchmarks.peers.ours import Split

SPLIT = Split(
    Path("split.csv"),
    pd.DataFrame(
        [("b.png", "y", "test"), ("a.png", "x", "test"), ("c.png", "x", "train")], columns=["path", "label", "fold"]
    ),
)


def test_the_other_side_gets_no_more_time() -> None:
    # A start of 40 s, then 30 s an epoch: nineteen end after 610 s.
    assert best.count_epochs(610, 70, 30) == 19
    assert best.count_epochs(609, 70, 30) == 18
    # It trains all the same where not even one epoch fits.
    assert best.count_epochs(10, 70, 30) == 1


def test_sides_that_scored_other_images_are_not_compared() -> None:
    assert SPLIT.sort_correct({"b.png": False, "a.png": True}) == [True, False]
    with pytest.raises(RuntimeError, match="1 test images were classified, not the 2"):
        SPLIT.sort_correct({"a.png": True})


def run(seed: int, ours: float, fastai: float) -> dict[str, Any]:
    side = {"epochs": 14, "minutes": 19.96, "backbone": "xception", "image_size": 224}
    scores = {
        name: {"value": value, "low": value - 0.01, "high": value + 0.01}
        for name, value in {"ours": ours, "fastai": fastai, "difference": ours - fastai}.items()
    }
    return {
        "set": "solar cells", "seed": seed, "test_images": 524, "settings": ["best.minutes=30"],
        "ours": side | {"accuracy": scores["ours"]}, "fastai": side | {"accuracy": scores["fastai"]},
        "difference": scores["difference"],
    }  # fmt: skip


def test_the_page_shows_means_over_seeds_and_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(best, "PAGE", tmp_path / "best.md")
    kind = {
        "machine": {"processor": "P", "system": "S", "packages": "k"}, "peers": {"fastai": "2"},
        "runs": {"first": run(0, 0.90, 0.88), "second": run(1, 0.92, 0.89)},
    }  # fmt: skip
    best.write_page([kind])
    page = best.PAGE.read_text()
    # Student's t of two values: 12.7 times their deviation over the root of two.
    half = 12.706 * np.std([0.90, 0.92], ddof=1) / np.sqrt(2)
    assert f"| solar cells | 2 | 0.9100 ± {half:.4f} | 0.8850 ± 0.0635 | +0.0250 ± 0.0635 |" in page
    assert "| solar cells | 1 | xception | 224 | 14 | 14 | 20.0 | 20.0 | 524 | 0.9200 (0.9100 to 0.9300) |" in page
    assert "solar cells, seed 0: `best.minutes=30`" in page
