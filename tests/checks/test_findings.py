import pandas as pd

from unfreeze.checks import findings
from unfreeze.checks.image_check import load_image_checks

CHECKS = load_image_checks()
ROWS = pd.DataFrame(
    {
        "path": list("abcd"), "label": list("xyxx"), "copies": [0, 1, 1, 2], "sha256": list("1234"),
        "reason": ["", "", "", "cut short"], "sharpness": [9.0, 3.0, 700.0, None],
    }
)  # fmt: skip
FOUND = pd.DataFrame(
    {
        "unreadable": [False, False, False, True],
        "blurry": [True, True, False, False],
        "near_duplicates": [False, True, True, False],
        "dark": [False] * 4,
    }
)


def test_findings_are_listed_the_worst_first() -> None:
    waived = FOUND & False
    waived.loc[0, "blurry"] = True
    table = findings.list_findings(ROWS, FOUND, waived, CHECKS)
    assert table[["check", "path", "detail", "waived"]].values.tolist() == [
        ["unreadable", "d", "cut short", False],
        ["blurry", "b", "sharpness 3.0", False],
        ["blurry", "a", "sharpness 9.0", True],
        ["near_duplicates", "b", "", False],
        ["near_duplicates", "c", "", False],
    ]


def test_copies_stand_together_and_others_alone() -> None:
    table = findings.list_findings(ROWS, FOUND, FOUND & False, CHECKS)
    sizes = {
        name: [len(group) for group in findings.group_findings(part, CHECKS[name])]
        for name, part in table.groupby("check")
    }
    assert sizes == {"unreadable": [1], "blurry": [1, 1], "near_duplicates": [2]}


def test_nothing_found_is_a_table_without_rows() -> None:
    table = findings.list_findings(ROWS, FOUND & False, FOUND & False, CHECKS)
    assert list(table.columns) == list(findings.COLUMNS)
    assert table.empty
