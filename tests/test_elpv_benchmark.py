"""The published protocol's folds, what a leak is worth, and the page."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmarks import elpv

CELLS = pd.DataFrame(
    [(f"cell{number:04}.png", label, kind) for number in range(40) for label in "ab" for kind in ("mono", "poly")],
    columns=["path", "label", "kind"],
)


def test_folds_hold_the_same_shares_of_each_class_and_type() -> None:
    folds = elpv.draw_folds(CELLS, 0)
    counts = CELLS.assign(fold=folds).groupby(["label", "kind"])["fold"].value_counts().unstack()
    # Of forty images ten for the test, and a tenth of the other thirty for the validation.
    assert (counts[["train", "val", "test"]] == [27, 3, 10]).all(axis=None)
    assert folds.equals(elpv.draw_folds(CELLS, 0))
    assert not folds.equals(elpv.draw_folds(CELLS, 1))


def test_only_the_published_protocol_brings_folds(tmp_path: Path) -> None:
    for path in CELLS["path"].unique():
        (tmp_path / "cells").mkdir(exist_ok=True)
        (tmp_path / "cells" / path).write_bytes(b"image")
    cells = CELLS.drop_duplicates("path")
    tables = {
        protocol: pd.read_csv(elpv.lay_out(protocol, 3, cells, tmp_path / "cells", tmp_path) / "labels.csv")
        for protocol in elpv.PROTOCOLS
    }
    assert {protocol: "fold" in table for protocol, table in tables.items()} == {
        "published": True, "clean": False, "default": False,
    }  # fmt: skip
    assert (tmp_path / "clean-3-images/cell0007.png").read_bytes() == b"image"


def run(protocol: str, seed: int, accuracy: float, copies: int = 0) -> dict[str, Any]:
    interval = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
    return {
        "protocol": protocol, "seed": seed, "settings": ["best.minutes=30"], "image_size": 224, "epochs": 12,
        "minutes": 42.3, "machine": {"processor": "P", "system": "S", "packages": "k"},
        "rows": [{
            "backbone": "xception", "images": 656, "accuracy": interval, "copies": copies,
            "of_copies": interval if copies else None, "without_copies": interval if copies else None,
        }],
    }  # fmt: skip


def test_the_page_sets_like_beside_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elpv, "PAGE", tmp_path / "elpv.md")
    runs = [run("published", seed, 0.90 + 0.01 * seed, copies=120) for seed in range(3)] + [run("clean", 0, 0.88)]
    # The preset's image size may change: runs at another one are another recipe.
    runs.append(run("clean", 1, 0.70) | {"image_size": 288})
    results = {"runs": dict(enumerate(runs))}
    found = elpv.summary(results)
    (published, clean, larger) = found["means"]
    assert published["accuracy"] == pytest.approx(0.91)
    # Student's t for two degrees of freedom: 4.303 * 0.01 / sqrt(3).
    assert published["half_width"] == pytest.approx(4.303 * 0.01 / np.sqrt(3), rel=1e-3)
    assert clean["half_width"] is None
    assert (clean["accuracy"], larger["accuracy"]) == (0.88, 0.70)
    assert found["worth"]["xception at 224 pixels"]["points"] == pytest.approx(0.03)
    elpv.write_page(results)
    text = (tmp_path / "elpv.md").read_text()
    assert "| xception, `study=best`, 224 pixels | published | 3 | 0.910 ± 0.025 |" in text
    assert "| xception, `study=best`, 224 pixels | clean | 1 | 0.880 |" in text
    assert "+3.0 points of accuracy ± 3.3" in text
    assert "| published | 0 | xception | 224 | 12 | 42 | P | 656 | 0.900 (0.880 to 0.920) | 120 |" in text
    assert "0.884" in text


def test_a_run_of_another_preset_or_of_other_settings_is_run_again() -> None:
    now = run("clean", 0, 0.88) | {"preset": elpv.digest_preset()}
    assert elpv.is_current(now, ["best.minutes=30"])
    assert not elpv.is_current(now, ["best.minutes=60"])
    assert not elpv.is_current(now | {"preset": "0" * 64}, ["best.minutes=30"])
    # Written before presets were told apart.
    assert not elpv.is_current(run("clean", 0, 0.88), ["best.minutes=30"])
    assert not elpv.is_current(None, [])
