"""Digests of folds: by images and labels, whatever their order and whatever lies in the others."""

import pandas as pd

from unfreeze.tracking.datasets import hash_folds

ROWS = [("a1", "cat", "train"), ("b2", "dog", "train"), ("c3", "cat", "val"), ("d4", "dog", "test")]


def digests(rows: list[tuple[str, str, str]]) -> dict[str, str]:
    return hash_folds(pd.DataFrame(rows, columns=["sha256", "label", "fold"]))


def test_equal_folds_have_equal_digests() -> None:
    assert digests(ROWS) == digests(ROWS[::-1])
    assert {len(digest) for digest in digests(ROWS).values()} == {32}


def test_another_image_or_label_changes_the_digest_of_its_fold_alone() -> None:
    for changed in ([*ROWS, ("e5", "cat", "train")], [("a1", "dog", "train"), *ROWS[1:]]):
        assert digests(changed)["train"] != digests(ROWS)["train"]
        assert digests(changed)["test"] == digests(ROWS)["test"]


def test_a_calibration_fold_has_a_digest_where_there_is_one() -> None:
    assert list(digests(ROWS)) == ["train", "val", "test"]
    assert {**digests(ROWS), **digests([("f6", "cat", "calibration")])}.keys() == digests(ROWS).keys() | {
        "calibration"
    }
