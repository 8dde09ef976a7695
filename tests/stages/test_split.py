import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfreeze.errors import UnfreezeError
from unfreeze.params import Split
from unfreeze.stages import split

SHARES = Split(train=0.6, val=0.2, test=0.2)


def images(counts: dict[str, int], copies: int = 1) -> pd.DataFrame:
    rows = [
        {"path": f"{label}/{number}-{copy}", "label": label, "cluster": f"{label}{number}"}
        for label, count in counts.items()
        for number in range(count)
        for copy in range(copies if number == 0 else 1)
    ]
    table = pd.DataFrame(rows)
    table["cluster"] = pd.factorize(table["cluster"])[0]
    return table


def test_shares_are_exact_in_every_class() -> None:
    rows = images({"a": 100, "b": 50})
    folds = split.describe_folds(split.assign_folds(rows, SHARES, 0), rows)
    counts = folds.groupby(["label", "fold"]).size().to_dict()
    assert counts == {
        ("a", "train"): 60, ("a", "val"): 20, ("a", "test"): 20,
        ("b", "train"): 30, ("b", "val"): 10, ("b", "test"): 10,
    }  # fmt: skip


@settings(max_examples=25)
@given(a=st.integers(10, 40), b=st.integers(10, 40), copies=st.integers(1, 6), seed=st.integers(0, 99))
def test_copies_never_part_and_every_image_has_one_fold(a: int, b: int, copies: int, seed: int) -> None:
    rows = images({"a": a, "b": b}, copies)
    folds = split.assign_folds(rows, SHARES, seed)
    assert sorted(folds["id"]) == sorted(rows["path"])
    assert (split.describe_folds(folds, rows)["folds_of_cluster"] == 1).all()
    assert folds.equals(split.assign_folds(rows.sample(frac=1, random_state=seed), SHARES, seed))


def test_too_few_images_are_named() -> None:
    with pytest.raises(UnfreezeError, match=r"class 'b' has 2 different images"):
        split.assign_folds(images({"a": 20, "b": 2}), SHARES, 0)
