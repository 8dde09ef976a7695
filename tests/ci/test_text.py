from typing import Any

import pytest

from tests.report.conftest import verdict
from unfreeze.ci import text
from unfreeze.ci.text import Changes, Results
from unfreeze.records.judgement_record import Judgement
from unfreeze.records.study_report import Suite
from unfreeze.records.verdict import Verdict


def report(accuracy: float, *, images: int = 100, blurry: int = 0) -> Results:
    scores = {
        "accuracy": {"value": accuracy, "low": accuracy - 0.04, "high": accuracy + 0.04},
        "macro_f1": {"value": accuracy, "low": accuracy - 0.04, "high": accuracy + 0.04},
        "log_loss": {"value": 0.5, "low": 0.4, "high": 0.6},
    }
    of = verdict({"xception": accuracy}, images=images)
    of["rows"][0]["scores"] = scores
    rule = {"column": "blurry", "rule": "a", "level": "warning", "success": not blurry, "unexpected": blurry}
    suite = {"suite": "manifest", "success": True, "warnings": 1, "rows": images, "expectations": [rule]}
    return Results(Verdict.model_validate(of), [Suite.model_validate(suite)])


def judged(**changes: Any) -> Judgement:
    side = {"backbone": "xception", "model_sha256": "0" * 64, "size_mb": 80.0, "latency_ms": 12.0}
    found = {
        "verdict": "cannot tell",
        "reasons": ["the interval holds 0"],
        "text": "Cannot tell.",
        "challenger": {**side, "version": 4, "accuracy": 0.86},
        "champion": {**side, "version": 3, "accuracy": 0.84},
        "difference": {"value": 0.02, "low": -0.01, "high": 0.05},
        "images": 524,
        "more_images": 700,
        "classes": {
            "fine": {"champion": 0.9, "challenger": 0.95, "support": 300},
            "broken": {"champion": 0.8, "challenger": 0.7, "support": 224},
        },
        "flips": [
            {"id": "a.png", "label": "fine", "champion": "broken", "challenger": "fine", "better": True},
            {"id": "b.png", "label": "broken", "champion": "broken", "challenger": "fine", "better": False},
        ],
        "test_digest": "0" * 64,
    }
    return Judgement.model_validate(found | changes)


def body(before: Results | None, after: Results, judgement: Judgement | None, told: str = "x") -> str:
    return text.write_body(
        Changes(before, after, "# the report\n"), judgement, told, picture="https://host/flips.png"
    )


def test_an_exported_format_is_named_in_the_table() -> None:
    side = judged().challenger.model_copy(update={"format": "openvino-int8"})
    shown = body(report(0.84), report(0.86), judged().model_copy(update={"challenger": side}))
    assert "| format | packed | openvino-int8 |" in shown
    assert "| format |" not in body(report(0.84), report(0.86), judged())


def test_the_verdict_comes_with_its_numbers() -> None:
    shown = body(report(0.84), report(0.86), judged())
    assert "Difference +2.0 (-1.0 to +5.0) points of accuracy, on the same 524 test images." in shown
    assert "About 700 more test images would tell." in shown
    assert "| accuracy | 84.0 % | 86.0 % |" in shown
    assert "- the interval holds 0" in shown


def test_the_class_that_lost_most_comes_first() -> None:
    shown = body(report(0.84), report(0.86), judged())
    assert shown.index("| broken | 80.0 % | 70.0 % | 224 |") < shown.index("| fine | 90.0 % | 95.0 % | 300 |")


def test_images_that_changed_are_counted_shown_and_listed_regressions_first() -> None:
    shown = body(report(0.84), report(0.86), judged())
    assert "The challenger fixes 1 and regresses on 1." in shown
    assert "](https://host/flips.png)" in shown
    assert shown.index("| b.png | broken | broken | fine |") < shown.index("| a.png | fine | broken | fine |")


def test_scores_before_and_now_stand_beside_each_other() -> None:
    shown = body(report(0.84), report(0.86), None)
    assert "| xception | 84.0 % (80.0 to 88.0) | 86.0 % (82.0 to 90.0) | 0.840 | 0.860 | 0.500 | 0.500 |" in shown
    assert "different images" not in shown


def test_a_test_fold_that_changed_its_size_is_told() -> None:
    assert "had 100 images and has 120 now" in body(report(0.84), report(0.86, images=120), None)


def test_checks_before_and_now_stand_beside_each_other() -> None:
    assert "| manifest | blurry | warning | 0 | 7 |" in body(report(0.84), report(0.86, blurry=7), None)
    assert "They found nothing, then and now." in body(report(0.84), report(0.86), None)


def test_a_commit_without_results_is_no_error() -> None:
    assert "| xception | – | 86.0 % (82.0 to 90.0) |" in body(None, report(0.86), None, "Not judged: no champion")


def test_what_was_not_judged_says_why_in_its_first_line_and_title() -> None:
    assert body(None, report(0.86), None, "Not judged: no champion").startswith("**Not judged: no champion**")
    assert text.write_title("abc", None) == "Retrain abc: not judged"
    assert text.write_title("abc", judged(verdict="keep")) == "Retrain abc: keep the champion"


def test_a_champion_that_met_itself_has_no_numbers_of_a_bout() -> None:
    shown = body(report(0.84), report(0.84), judged(verdict="keep", difference=None, images=0, classes={}, flips=[]))
    assert "## Verdict" in shown
    assert "Difference" not in shown


def test_names_never_become_markup() -> None:
    flip = {"id": "![x](http://evil)|@all.png", "label": "<b>", "champion": "`a`", "challenger": "b", "better": True}
    shown = body(report(0.84), report(0.86), judged(flips=[flip], text="x"))
    assert "![x]" not in shown
    assert "<b>" not in shown
    assert "@all" not in shown


def test_no_secret_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "open-sesame")
    shown = body(report(0.84), report(0.86), None, "Not judged: https://me:hunter2@host said open-sesame")
    assert "open-sesame" not in shown
    assert "hunter2" not in shown


def test_a_long_report_is_cut() -> None:
    shown = text.write_body(Changes(None, report(0.86), "x" * 100_000), None, "x", picture="p")
    assert len(shown) < 65_536
    assert "the rest is in reports/report.md" in shown


def test_two_wrong_classes_are_neither_fixed_nor_regressed() -> None:
    flip = {"id": "c.png", "label": "fine", "champion": "broken", "challenger": "dirty", "better": None}
    shown = body(report(0.84), report(0.86), judged(flips=[flip]))
    assert "fixes 0 and regresses on 0; on 1 more both predict a wrong class." in shown
    assert "c.png" in shown
    assert "flips.png" not in shown
    both = body(report(0.84), report(0.86), judged(flips=[*judged().flips, flip]))
    assert "fixes 1 and regresses on 1; on 1 more both predict a wrong class." in both
