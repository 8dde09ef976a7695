import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfreeze import files
from unfreeze.checks import rules
from unfreeze.errors import UnfreezeError
from unfreeze.settings.images import Split
from unfreeze.stages import split

EXACT = Split(train=0.6, val=0.2, test=0.2, method="exact", tolerance=0.05)
STABLE = EXACT.model_copy(update={"method": "stable"})
HELD_OUT = {"train": 0.45, "calibration": 0.15}


def images(counts: dict[str, int], copies: int = 1) -> pd.DataFrame:
    """Return images of some classes, the first of each class with copies."""
    rows = [
        {"path": f"{label}/{number}-{copy}", "label": label, "pixels_sha256": files.digest([label, number])}
        for label, count in counts.items()
        for number in range(count)
        for copy in range(copies if number == 0 else 1)
    ]
    table = pd.DataFrame(rows)
    return table.assign(cluster=pd.factorize(table["pixels_sha256"])[0])


def test_shares_are_exact_in_every_class() -> None:
    rows = images({"a": 100, "b": 50})
    folds = split.describe_folds(split.assign_folds(rows, EXACT, 0), rows, EXACT)
    counts = folds.groupby(["label", "fold"]).size().to_dict()
    assert counts == {
        ("a", "train"): 60, ("a", "val"): 20, ("a", "test"): 20,
        ("b", "train"): 30, ("b", "val"): 10, ("b", "test"): 10,
    }  # fmt: skip
    assert folds["share_off"].max() < 1e-9


def test_shares_are_exact_with_groups_of_many_sizes() -> None:
    rows = images({"a": 300}).assign(cluster=[number // (1 + number % 7) for number in range(300)])
    folds = split.assign_folds(rows, EXACT, 0)["fold"].value_counts()
    assert folds.to_dict() == {"train": 180, "val": 60, "test": 60}


@settings(max_examples=25)
@given(
    a=st.integers(10, 40), b=st.integers(10, 40), copies=st.integers(1, 6), seed=st.integers(0, 99),
    method=st.sampled_from([EXACT, STABLE]),
)  # fmt: skip
def test_copies_never_part_and_every_image_has_one_fold(
    a: int, b: int, copies: int, seed: int, method: Split
) -> None:
    rows = images({"a": 4 * a, "b": 4 * b}, copies)
    folds = split.assign_folds(rows, method, seed)
    assert sorted(folds["id"]) == sorted(rows["path"])
    assert (split.describe_folds(folds, rows, method)["folds_of_cluster"] == 1).all()
    assert folds.equals(split.assign_folds(rows.sample(frac=1, random_state=seed), method, seed))


@settings(max_examples=25)
@given(count=st.integers(60, 200), added=st.integers(1, 200))
def test_new_images_move_none_that_was_there(count: int, added: int) -> None:
    before = split.assign_folds(images({"a": count, "b": count}), STABLE, 0).set_index("id")["fold"]
    after = split.assign_folds(images({"a": count + added, "b": count, "c": 60}), STABLE, 0).set_index("id")["fold"]
    assert after[before.index].equals(before)


@settings(max_examples=25)
@given(more=st.lists(st.tuples(st.integers(0, 59), st.text("abc", min_size=1)), max_size=30, unique=True))
def test_new_images_of_a_group_move_none_that_was_there(more: list[tuple[int, str]]) -> None:
    def of_groups(images_of: list[tuple[int, str]]) -> pd.DataFrame:
        rows = [
            {"path": f"{group}/{name}", "label": "xy"[group % 2], "group": f"p{group}", "cluster": group}
            for group, name in images_of
        ]
        return pd.DataFrame(rows).assign(pixels_sha256=[files.digest(row) for row in images_of])

    first = [(group, "first") for group in range(60)]
    before = split.assign_folds(of_groups(first), STABLE, 0).set_index("id")["fold"]
    after = split.assign_folds(of_groups(first + more), STABLE, 0).set_index("id")["fold"]
    assert after[before.index].equals(before)


def test_stable_shares_are_near_the_wanted_ones() -> None:
    rows = images({"a": 4000, "b": 1000})
    assert split.describe_folds(split.assign_folds(rows, STABLE, 0), rows, STABLE)["share_off"].max() < 0.01


def test_folds_that_the_source_gives_win_and_copies_follow_them() -> None:
    rows = images({"a": 40, "b": 40}, copies=3)
    rows["fold"] = ""
    rows.loc[[0, 5], "fold"] = ["test", "val"]
    folds = split.assign_folds(rows, EXACT, 0).set_index("id")["fold"]
    assert folds[rows["path"][:3]].tolist() == ["test"] * 3
    assert folds[rows.loc[5, "path"]] == "val"
    assert (folds != "").all()


def test_given_folds_stay_though_they_part_copies() -> None:
    rows = images({"a": 20, "b": 20}, copies=2)
    rows["fold"] = (["train", "test", "val", "train"] * 11)[: len(rows)]
    folds = split.assign_folds(rows, EXACT, 0)
    assert folds.set_index("id")["fold"].to_dict() == rows.set_index("path")["fold"].to_dict()
    drawn, stays = rules.guard_split(EXACT, given=False), rules.guard_split(EXACT, given=True)
    assert "folds_of_cluster" in {rule.arguments.get("column") for rule in drawn}
    assert "folds_of_cluster" not in {rule.arguments.get("column") for rule in stays}


@pytest.mark.parametrize(("given_folds", "missing"), [(["train", "test"], "val"), (["train", "val"], "test")])
@pytest.mark.parametrize("method", [EXACT, STABLE])
def test_a_fold_that_the_source_lacks_is_drawn_from_its_training_images(
    given_folds: list[str], missing: str, method: Split
) -> None:
    rows = images({"a": 120, "b": 120}, copies=3)
    rows["fold"] = [given_folds[number % 4 == 3] for number in rows["cluster"]]
    folds = split.assign_folds(rows, method, 0).set_index("id")["fold"]
    before = rows.set_index("path")["fold"]
    stayed = before[before != "train"]
    assert folds[stayed.index].equals(stayed)
    drawn = folds[before.index[before == "train"]]
    assert set(drawn) == {"train", missing}
    # Three parts to one, as in the settings.
    assert 0.15 < (drawn == missing).mean() < 0.35
    assert (split.describe_folds(folds.reset_index(), rows, method)["folds_of_cluster"] == 1).all()


@pytest.mark.parametrize("method", [EXACT, STABLE])
def test_calibration_images_come_from_training_alone_and_by_cluster(method: Split) -> None:
    rows = images({"a": 400, "b": 400}, copies=9)
    held_out = method.model_copy(update=HELD_OUT)
    before = split.assign_folds(rows, method, 0).set_index("id")["fold"]
    after = split.assign_folds(rows, held_out, 0)
    calibration = after.set_index("id")["fold"] == "calibration"
    assert set(before[calibration]) == {"train"}
    assert after.set_index("id")["fold"].where(~calibration, "train").equals(before)
    table = split.describe_folds(after, rows, held_out)
    assert (table["folds_of_cluster"] == 1).all()
    assert table["share_off"].max() < 0.01
    assert (table["classes_of_fold"] == 2).all()


@pytest.mark.parametrize("given_folds", [["train", "val", "test"], ["train", "test"], ["train", "", "test"]])
@pytest.mark.parametrize("method", [EXACT, STABLE])
def test_where_the_source_gives_folds_calibration_images_come_from_its_training(
    given_folds: list[str], method: Split
) -> None:
    rows = images({"a": 300, "b": 300})
    rows["fold"] = (given_folds * len(rows))[: len(rows)]
    held_out = method.model_copy(update=HELD_OUT)
    before = split.assign_folds(rows, method, 0).set_index("id")["fold"]
    after = split.assign_folds(rows, held_out, 0).set_index("id")["fold"]
    calibration = after == "calibration"
    assert after[~calibration].equals(before[~calibration])
    assert set(before[calibration]) == {"train"}
    # One part to three, as in the settings.
    assert calibration.sum() / (before == "train").sum() == pytest.approx(0.25, abs=0.07)


def test_a_class_without_calibration_images_is_named() -> None:
    rows = images({"a": 60, "b": 3})
    rows["fold"] = ["train", "val", "test"] * 21
    with pytest.raises(UnfreezeError, match=r"class 'b' .* none of them in fold (train|calibration): .*add images"):
        split.assign_folds(rows, EXACT.model_copy(update=HELD_OUT), 0)


def test_too_few_images_are_named() -> None:
    with pytest.raises(UnfreezeError, match=r"class 'b' has 2 different images and none of them in fold .*: add"):
        split.assign_folds(images({"a": 20, "b": 2}), EXACT, 0)
    given_folds = images({"a": 30, "b": 30}).assign(fold=["train", "val", "test"] * 10 + ["train", "val"] * 15)
    with pytest.raises(UnfreezeError, match=r"class 'b' has 30 .* none of them in fold test: correct the folds"):
        split.assign_folds(given_folds, EXACT, 0)


def test_a_fold_that_is_too_small_for_a_class_may_be_raised() -> None:
    settings = EXACT.model_copy(update={"train": 0.78, "val": 0.02})
    with pytest.raises(UnfreezeError, match=r"20 different images and none of them in fold val: .*raise split.val"):
        split.assign_folds(images({"a": 20, "b": 20}), settings, 0)


def test_a_class_of_two_takes_is_refused_with_what_to_do() -> None:
    rows = images({"a": 30, "b": 30}).assign(cluster=[number % 2 for number in range(30)] + list(range(2, 32)))
    with pytest.raises(
        UnfreezeError, match=r"class 'a' has 2 different .*its 30 images are near copies.* other scenes"
    ):
        split.assign_folds(rows, EXACT, 0)


def corrected(relabelled: int = 0, excluded: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the manifest without corrections, and with some of class `a`."""
    rows = images({"a": 100, "b": 50}, copies=3).assign(verdict="ok")
    number = rows["path"].str.extract(r"a/(\d+)-", expand=False).astype(float)
    after = rows.assign(label_given="")
    after.loc[number < relabelled, ["label", "label_given"]] = ["b", "a"]
    after.loc[number >= 100 - excluded, "verdict"] = "excluded"
    return rows, after


@pytest.mark.parametrize("method", [EXACT, STABLE])
def test_a_correction_moves_no_image_to_another_fold(method: Split) -> None:
    before, after = corrected(relabelled=3, excluded=4)
    method = method.model_copy(update={"tolerance": 0.1})
    folds = split.assign_folds_as_before(after, method, 0)
    assert folds is not None
    assert sorted(folds["id"]) == sorted(after.loc[after["verdict"] == "ok", "path"])
    was = split.assign_folds(before, method, 0).set_index("id")["fold"]
    assert folds["fold"].tolist() == was[folds["id"]].tolist()


def test_without_a_correction_and_with_too_many_the_folds_are_drawn() -> None:
    before, _ = corrected()
    assert split.assign_folds_as_before(before, EXACT, 0) is None
    _, after = corrected(relabelled=70)
    assert split.assign_folds_as_before(after, EXACT.model_copy(update={"tolerance": 0.01}), 0) is None


def test_an_excluded_image_that_cannot_be_read_was_in_no_fold() -> None:
    rows = images({"a": 20, "b": 20}).assign(verdict="ok")
    rows.loc[0, ["verdict", "pixels_sha256"]] = ["excluded", None]
    assert split.assign_folds_as_before(rows, EXACT, 0) is None
