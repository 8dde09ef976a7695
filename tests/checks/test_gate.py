import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import CHECKS, LIMITS, change_check
from unfreeze import files
from unfreeze.checks import gate, rules
from unfreeze.checks.image_check import load_image_checks
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.images import Split

# One worker loads Great Expectations, which takes longer than these tests.
pytestmark = pytest.mark.xdist_group("great_expectations")

FEW = LIMITS.model_copy(update={"min_images_per_class": 5})
SPLIT = Split(train=0.6, val=0.2, test=0.2, method="exact", tolerance=0.05)
GOOD = pd.DataFrame(
    {"path": ["a", "b"], "label": ["x", "y"], "width": [9, 9], "height": [9, 9]}
    | {name: [False, False] for name in load_image_checks()}
)


def test_good_data_passes_and_leaves_results_and_pages(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    gate.enforce("manifest", GOOD, rules.guard_manifest(CHECKS), paths)
    result = json.loads(paths.checks("manifest").read_text())
    assert result["success"]
    assert result["rows"] == 2
    assert len(result["expectations"]) == len(rules.guard_manifest(CHECKS))
    assert "manifest" in (paths.data_docs / "manifest/index.html").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unreadable": [False, True]}, r"images cannot be read \(b\): replace or remove them"),
        ({"conflicting_labels": [False, True]}, r"the same image stands under two labels \(b\)"),
        ({"path": ["a", "a"]}, "paths come twice"),
        ({"label": ["x", ""]}, r"images have no label \(b\)"),
        ({"too_small": [False, True]}, r"images have too few pixels \(b\): bring larger ones"),
    ],
)
def test_bad_data_is_named_with_the_remedy(tmp_path: Path, change: dict[str, list[object]], message: str) -> None:
    with pytest.raises(UnfreezeError, match=message) as caught:
        gate.enforce("manifest", GOOD.assign(**change), rules.guard_manifest(CHECKS), Paths(tmp_path))
    assert "\n" not in str(caught.value)
    assert not json.loads(Paths(tmp_path).checks("manifest").read_text())["success"]


def test_a_missing_column_fails(tmp_path: Path) -> None:
    with pytest.raises(UnfreezeError, match="unreadable"):
        gate.enforce("manifest", GOOD.drop(columns="unreadable"), rules.guard_manifest(CHECKS), Paths(tmp_path))


def test_quarantine_lets_unreadable_images_pass(tmp_path: Path) -> None:
    wanted = rules.guard_manifest(change_check("unreadable", level="warning"))
    gate.enforce("manifest", GOOD.assign(unreadable=[False, True]), wanted, Paths(tmp_path))


def test_a_warning_is_told_and_a_check_that_is_off_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blurred = GOOD.assign(blurry=[True, False])
    gate.enforce("manifest", blurred, rules.guard_manifest(CHECKS), Paths(tmp_path))
    assert "images are blurred (a): look at them" in caplog.text
    result = json.loads(Paths(tmp_path).checks("manifest").read_text())
    assert result["success"]
    assert result["warnings"] == 1
    off = change_check("blurry", level="off")
    gate.enforce("manifest", blurred, rules.guard_manifest(off), Paths(tmp_path))
    assert json.loads(Paths(tmp_path).checks("manifest").read_text())["warnings"] == 0


def test_the_page_shows_each_rule_and_escapes_what_users_name(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    named = GOOD.assign(path=["<img src=https://example.org/a.png>", "b"], blurry=[True, False])
    gate.enforce("manifest", named, rules.guard_manifest(CHECKS), paths)
    text = (paths.data_docs / "manifest/index.html").read_text()
    assert f"{len(rules.guard_manifest(CHECKS))} expectations on 2 rows" in text
    assert text.count("expect_column_values_to_be_in_set") >= len(load_image_checks())
    assert "images are blurred (&lt;img src=https://example.org/a.png&gt;): look at them" in text
    assert not re.search(r"<(script|link|img|iframe)|url\(", text)


def test_the_page_of_an_earlier_run_is_replaced(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    files.write_text(paths.data_docs / "manifest/validations/old.html", "an older page")
    gate.enforce("manifest", GOOD, rules.guard_manifest(CHECKS), paths)
    assert [path.name for path in paths.data_docs.rglob("*.html")] == ["index.html"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"label": ["x"], "images": [50], "times_smaller": [1.0]}, "not at least two classes"),
        (
            {"label": ["x", "y"], "images": [50, 4], "times_smaller": [1.0, 12.5]},
            r"fewer than 5 readable images \(y\)",
        ),
    ],
)
def test_too_few_classes_or_images_fail(tmp_path: Path, classes: dict[str, list[object]], message: str) -> None:
    with pytest.raises(UnfreezeError, match=message):
        gate.enforce("classes", pd.DataFrame(classes), rules.guard_classes(CHECKS, FEW), Paths(tmp_path))


def test_a_hundred_thousand_classes_give_one_short_line(tmp_path: Path) -> None:
    classes = pd.DataFrame(
        {"label": [f"class {number}" for number in range(100_000)], "images": 1, "times_smaller": 1.0}
    )
    with pytest.raises(UnfreezeError, match=r"class 0, class 1, class 2 and 99997 more") as told:
        gate.enforce("classes", classes, rules.guard_classes(CHECKS, FEW), Paths(tmp_path))
    assert len(str(told.value)) < 500


FOLDS = pd.DataFrame(
    {
        "id": list("abcdefghij"),
        "label": ["x", "y"] * 5,
        "fold": ["train"] * 6 + ["val"] * 2 + ["test"] * 2,
        "folds_of_cluster": [1] * 10,
        "classes_of_fold": [2] * 10,
        "share_off": [0.0] * 10,
    }
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"folds_of_cluster": [1] * 9 + [2]}, r"images of one group, lie in different folds \(j\)"),
        ({"fold": ["train"] * 8 + ["test"] * 2}, "a fold is empty"),
        ({"classes_of_fold": [2] * 9 + [1]}, "one class only"),
        ({"share_off": [0.0] * 9 + [0.06]}, r"off by more than 0.05 \(j\)"),
    ],
)
def test_the_split_is_guarded(tmp_path: Path, change: dict[str, list[object]], message: str | None) -> None:
    wanted = rules.guard_split(SPLIT, given=False)
    problems = gate.validate("split", FOLDS.assign(**change), wanted, Paths(tmp_path))["error"]
    assert bool(problems) == bool(message)
    assert message is None or any(re.search(message, problem) for problem in problems)


@pytest.mark.parametrize(("share", "fails"), [(0.1, False), (0.0, True)])
def test_a_calibration_fold_is_expected_only_where_it_was_asked_for(
    tmp_path: Path, share: float, fails: bool
) -> None:
    split = SPLIT.model_copy(update={"calibration": share})
    frame = FOLDS.assign(fold=["train"] * 4 + ["calibration"] * 2 + ["val"] * 2 + ["test"] * 2)
    problems = gate.validate("split", frame, rules.guard_split(split, given=False), Paths(tmp_path))["error"]
    assert bool(problems) == fails


def test_untrained_weights_may_fail_their_checks_in_the_open(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [1, 2], "predicted": ["x", "x"], "correct": [True, False]})
    wanted = rules.guard_predictions(2, 0.5, CHECKS)
    paths = Paths(tmp_path)
    files.write_json(paths.weights_record("resnet50"), {"pretrained": False})
    files.write_json(paths.weights_record("xception"), {"pretrained": True})
    gate.enforce("predictions", frame, wanted, paths, backbone="resnet50")
    assert not json.loads(paths.checks("predictions").read_text())["success"]
    with pytest.raises(UnfreezeError, match="one class for every image"):
        gate.enforce("predictions", frame, wanted, paths, backbone="xception")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"finite": [True, True, False]}, "not finite"),
        ({"deviation": [0.0, 0.0, 0.0]}, "collapsed"),
        ({"mean": [1.0, 1.0, 1.0]}, "all images have nearly the same activations"),
    ],
)
def test_features_are_guarded(tmp_path: Path, change: dict[str, list[object]], message: str | None) -> None:
    good = pd.DataFrame(
        {"row": [0, 1, 2], "finite": [True] * 3, "mean": [1.0, 2.0, 3.0], "deviation": [1.0, 1.0, 1.0]}
    )
    problems = gate.validate("features", good.assign(**change), rules.guard_features(CHECKS), Paths(tmp_path))[
        "error"
    ]
    assert bool(problems) == bool(message)
    assert message is None or message in problems[0]


@pytest.mark.parametrize(
    ("predicted", "correct", "message"),
    [
        (["x", "y", "x"], [True, True, True], None),
        (["x", "x", "x"], [True, True, True], "one class for every image"),
        (["x", "y", "x"], [False, True, False], "below the share of the largest class (found 0.3"),
    ],
)
def test_predictions_are_guarded(
    tmp_path: Path, predicted: list[str], correct: list[bool], message: str | None
) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "predicted": predicted, "correct": correct})
    wanted = rules.guard_predictions(2, 0.5, CHECKS)
    problems = gate.validate("predictions", frame, wanted, Paths(tmp_path))["error"]
    assert bool(problems) == bool(message)
    assert message is None or message in problems[0]
