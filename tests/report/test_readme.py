import pytest

from tests.report.conftest import read, verdict
from unfreeze.errors import UnfreezeError
from unfreeze.records.study_report import Expectation, Suite
from unfreeze.report import readme

CHECKED = [
    Suite(
        suite="manifest",
        success=True,
        warnings=1,
        rows=2000,
        expectations=(
            Expectation(column="blurry", rule="a", level="warning", success=False, unexpected=12),
            Expectation(column="dark", rule="a", level="warning", success=True, unexpected=0),
        ),
    )
]


def marked(text: str) -> str:
    blocks = [
        f"<!-- {name}: written by `make readme` -->\n{text}\n<!-- end of {name} -->"
        for name in ("results", "findings")
    ]
    return "before\n" + "\nbetween\n".join(blocks) + "\nafter\n"


def test_the_readmes_results_are_replaced() -> None:
    new = readme.replace_results(marked("old"), read(verdict()), CHECKED)
    assert "old" not in new
    assert "| xception |" in new
    assert "| `blurry` | warning | 12 of 2,000 |\n<!-- end" in new
    assert [new.count(word) for word in ("before\n", "\nbetween\n", "\nafter\n")] == [1, 1, 1]
    assert readme.replace_results(new, read(verdict()), CHECKED) == new


def test_no_name_ends_the_results_early() -> None:
    named = read(verdict({"<!-- end of results -->": 0.9}))
    new = readme.replace_results(marked("old"), named, CHECKED)
    assert new.count("<!-- end of results -->") == 1
    assert readme.replace_results(new, named, CHECKED) == new


def test_a_readme_without_marks_is_refused() -> None:
    with pytest.raises(UnfreezeError, match="lacks"):
        readme.replace_results("nothing", read(verdict()), CHECKED)
