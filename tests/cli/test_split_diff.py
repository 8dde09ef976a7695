import json

import pandas as pd
import pytest

from tests.conftest import Checkout
from unfreeze.cli import split_diff


def folds(**fold_of: str) -> pd.DataFrame:
    return pd.DataFrame({"id": list(fold_of), "fold": list(fold_of.values())})


def test_what_stayed_moved_came_and_went_is_counted() -> None:
    before = folds(a="train", b="train", c="val", d="test")
    after = folds(a="train", b="test", d="test", e="val", f="val")
    assert split_diff.summarize(split_diff.compare(before, after)) == {
        "stayed": 2,
        "moved": [{"id": "b", "before": "train", "after": "test"}],
        "added": {"train": 0, "val": 2, "test": 0},
        "removed": {"train": 0, "val": 1, "test": 0},
    }


def test_a_calibration_fold_is_counted_where_there_is_one() -> None:
    result = split_diff.summarize(split_diff.compare(folds(a="train"), folds(a="train", b="calibration")))
    assert result["added"] == {"train": 0, "val": 0, "test": 0, "calibration": 1}


@pytest.mark.xdist_group("studied")
def test_versions_that_dvc_holds_are_compared(studied: Checkout) -> None:
    same = json.loads(studied.run("unfreeze", "split-diff", "--json"))
    assert same["stayed"] == 48
    assert same["moved"] == []
    assert "48 images stayed in their fold, 0 moved." in studied.run("unfreeze", "split-diff", "HEAD", "HEAD")
    failed = studied.try_run("unfreeze", "split-diff", "nowhere")
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1
    assert "name a revision that has it" in failed.stderr
