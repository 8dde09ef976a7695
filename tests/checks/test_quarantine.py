"""Which images are left out, and what ends the run all the same."""

from datetime import date

import pandas as pd
import pytest

from tests.conftest import CHECKS, LIMITS, change_check
from unfreeze.checks import quarantine
from unfreeze.checks.waivers import Waiver
from unfreeze.settings.checks import CheckSettings, Limits

QUARANTINE = LIMITS.model_copy(update={"on_bad": "quarantine"})
ROWS = pd.DataFrame(
    {
        "path": ["a", "b", "c"], "reason": ["", "", "the file is empty"], "verdict": ["ok", "ok", "unreadable"],
        "width": [40.0, 1.0, None], "height": [40.0, 1.0, None], "sha256": ["a" * 64, "b" * 64, "c" * 64],
    }
)  # fmt: skip
ACCEPTED = [Waiver(check="too_small", image="b" * 64, reason="an icon", expires=date(2030, 1, 1))]


@pytest.mark.parametrize(
    ("checks", "limits", "waived", "verdict", "level"),
    [
        (CHECKS, QUARANTINE, [], "too_small", "warning"),
        (CHECKS, LIMITS, [], "ok", "error"),
        (CHECKS, QUARANTINE, ACCEPTED, "ok", "warning"),
        (change_check("too_small", level="warning"), QUARANTINE, [], "ok", "warning"),
        (change_check("too_small", level="off"), QUARANTINE, [], "ok", "off"),
        (change_check("too_small", threshold=1), QUARANTINE, [], "ok", "warning"),
    ],
    ids=["left out", "the run ends", "waived", "told only", "off", "another threshold"],
)
def test_small_images_are_left_out_or_not(
    checks: CheckSettings, limits: Limits, waived: list[Waiver], verdict: str, level: str
) -> None:
    rows = quarantine.set_aside(ROWS, checks, limits, waived)
    assert rows["verdict"].tolist() == ["ok", verdict, "unreadable"]
    assert quarantine.soften(checks, limits).get_level("too_small") == level
    assert quarantine.soften(checks, limits).get_level("conflicting_labels") == "error"


def test_findings_in_images_that_are_left_out_are_those_that_left_them_out() -> None:
    found = pd.DataFrame({"too_small": [False, True, False], "blurry": [True, True, True]})
    kept = quarantine.drop_findings(found, pd.Series(["ok", "too_small", "unreadable"]))
    assert kept.to_dict("list") == {"too_small": [False, True, False], "blurry": [True, False, False]}


def test_many_reasons_are_cut_and_say_so() -> None:
    text = quarantine.summarise_reasons(pd.Series(["a"] * 3 + ["b"] * 2 + list("cde")))
    assert text == "3 x a; 2 x b; 1 x c; 2 more reasons"
