"""Differences to the preset, paired by image, and the page that shows them."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks import recipes
from benchmarks.recipes import CHANGES, Trained

from unfreeze import files

LABELS = np.array([0, 1] * 50)


def train(of_label: np.ndarray, seconds: float = 10.0) -> Trained:
    """Return what says of each image that it is of its class with some probability, of shape (seeds, images)."""
    probabilities = np.where(np.eye(2, dtype=bool)[LABELS], of_label[..., None], 1 - of_label[..., None])
    return Trained(LABELS, probabilities, [1] * len(of_label), seconds)


def test_differences_are_paired_by_image_and_averaged_over_seeds() -> None:
    preset = train(np.full((2, 100), 0.8))
    # The first seed is wrong on ten images that the preset has right, the second on none.
    changed = train(np.array([[0.4] * 10 + [0.8] * 90, [0.8] * 100]), seconds=15)
    found = recipes.compare(preset, changed)
    accuracy, loss = (found["differences"][name] for name in ("accuracy", "loss"))
    assert found["accuracy"] == pytest.approx(0.95)
    assert accuracy["value"] == pytest.approx(-0.05)
    assert accuracy["low"] < -0.05 < accuracy["high"] < 0
    assert loss["value"] == pytest.approx(np.log(2) * 0.05)
    assert found["cost"] == 1.5
    same = recipes.compare(preset, preset)["differences"]
    assert {tuple(gap.values()) for gap in same.values()} == {(0.0, 0.0, 0.0)}


def test_joined_probabilities_are_averaged_seed_by_seed_and_take_both_times() -> None:
    joined = train(np.full((1, 100), 0.9)).join(train(np.full((1, 100), 0.3), seconds=5))
    assert joined.right.tolist() == [1.0] * 100
    assert joined.losses == pytest.approx(np.full(100, -np.log(0.6)))
    assert joined.seconds == 15


def test_the_page_shows_each_change_on_each_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "PAGE", tmp_path / "recipes.md")
    row = recipes.compare(train(np.full((2, 100), 0.8)), train(np.full((2, 100), 0.4))) | {"seeds": [0, 1]}
    machine = {"processor": "P", "system": "S", "packages": "k"}
    rows = dict.fromkeys(("constant rate", "Xception"), row)
    recipes.write_page([{"machine": machine, "sets": {"solar cells": rows, "cats and dogs": rows}}])
    page = recipes.PAGE.read_text()
    line = "| 2 | 0.916 | 0.000 | +0.693 (+0.693 to +0.693) | -100.0 (-100.0 to -100.0) | 1, 1 | 1.0 |"
    assert page.count(f"| constant rate {line}") == page.count(f"| Xception {line}") == 2
    assert all(title not in page for title in CHANGES if title not in rows)


def test_a_change_of_the_preset_is_measured_anew() -> None:
    assert len({recipes.digest_recipe(title) for title in CHANGES}) == len(CHANGES)


def test_the_committed_page_is_that_of_the_committed_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = recipes.PAGE.read_text()
    monkeypatch.setattr(recipes, "PAGE", tmp_path / "recipes.md")
    of_kinds = files.read_json(recipes.RESULTS)
    recipes.write_page([of_kinds[kind] for kind in sorted(of_kinds)])
    assert recipes.PAGE.read_text() == committed
