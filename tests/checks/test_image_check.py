import numpy as np
import pandas as pd
import pytest

from tests.conftest import CHECKS, change_check
from unfreeze.checks import image_check
from unfreeze.checks.image_check import Images

GOOD = {
    "path": "a.png", "label": "x", "reason": "", "width": 100.0, "height": 100.0, "format": "PNG",
    "suffix_fits": True, "pictures": 1.0, "spare_bits": 0.0, "partial_alpha": 0.0,
    "pixels_sha256": "", "dark_end": 200.0, "bright_end": 20.0, "sharpness": 400.0, "entropy": 7.0,
}  # fmt: skip
NO_PAIRS = np.empty((0, 2), np.int64)


def rows(*changes: dict[str, object]) -> pd.DataFrame:
    """Return five ordinary images, then one for each change."""
    return pd.DataFrame(
        [
            GOOD | {"pixels_sha256": f"{number}", "cluster": number, "copies": number} | change
            for number, change in enumerate([{}] * 5 + list(changes))
        ]
    )


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("wrong_extension", {"suffix_fits": False}),
        ("blurry", {"sharpness": 3.0}),
        ("dark", {"dark_end": 40.0}),
        ("bright", {"bright_end": 250.0}),
        ("low_information", {"entropy": 1.0}),
        ("odd_size", {"width": 900.0, "height": 900.0}),
        ("odd_aspect", {"width": 200.0, "height": 50.0}),
        ("several_pictures", {"pictures": 12.0}),
        ("partial_range", {"spare_bits": 4.0}),
        ("alpha_band", {"partial_alpha": 0.9}),
        ("unreadable", {"reason": "cut short", "width": np.nan, "height": np.nan, "suffix_fits": None}),
    ],
)
def test_each_check_finds_its_fault_and_no_other(check: str, change: dict[str, object]) -> None:
    found = image_check.find_all(Images(rows(change), NO_PAIRS), CHECKS)
    assert found.columns[found.any()].tolist() == [check]
    assert found[check].tolist() == [False] * 5 + [True]


def test_one_short_side_is_too_small() -> None:
    found = image_check.find_all(Images(rows({"height": 7.0}, {"width": 7.0}, {"height": 8.0}), NO_PAIRS), CHECKS)
    assert found["too_small"].tolist() == [False] * 5 + [True, True, False]


def test_a_check_that_is_off_looks_for_nothing() -> None:
    off = change_check("wrong_extension", level="off")
    assert "wrong_extension" not in image_check.find_all(Images(rows({"suffix_fits": False}), NO_PAIRS), off)


def test_copies_and_conflicts_are_told_apart() -> None:
    table = rows(
        {"pixels_sha256": "0"}, {"pixels_sha256": "1", "label": "y"}, {"reason": "bad", "pixels_sha256": None}
    )
    found = image_check.find_all(Images(table, NO_PAIRS), CHECKS)
    assert np.flatnonzero(found["exact_duplicates"]).tolist() == [0, 1, 5, 6]
    assert np.flatnonzero(found["conflicting_labels"]).tolist() == [1, 6]
    assert not found["near_duplicates"].any()


def test_copies_in_two_folds_of_the_source_are_found() -> None:
    table = rows({"cluster": 0}, {"cluster": 0}, {"cluster": 1})
    assert not image_check.find_all(Images(table, NO_PAIRS), CHECKS)["copies_across_folds"].any()
    given = table.assign(fold=["train", "val", "test", "", "train", "test", "", "train"])
    found = image_check.find_all(Images(given, NO_PAIRS), CHECKS)["copies_across_folds"]
    assert found.tolist() == [True, True, False, False, False, True, False, True]


def test_a_chain_of_copies_that_is_most_of_a_class_is_found() -> None:
    table = pd.concat([rows()] * 8, ignore_index=True).assign(copies=[*range(20), *[20] * 20])
    found = image_check.find_all(Images(table, NO_PAIRS), CHECKS)["takes"]
    assert found.tolist() == [False] * 20 + [True] * 20
    assert not image_check.find_all(Images(table.iloc[:27], NO_PAIRS), CHECKS)["takes"].any()


def test_near_copies_may_have_two_labels() -> None:
    found = image_check.find_all(Images(rows({"label": "y"}, {}), np.array([[0, 5], [1, 6]])), CHECKS)
    assert np.flatnonzero(found["near_duplicates"]).tolist() == [0, 1, 5, 6]
    assert np.flatnonzero(found["near_conflicts"]).tolist() == [0, 5]
    assert not found["conflicting_labels"].any()
