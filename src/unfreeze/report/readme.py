"""The generated tables of the README."""

from collections.abc import Sequence

from unfreeze.errors import UnfreezeError
from unfreeze.records.study_report import Suite
from unfreeze.records.verdict import Verdict
from unfreeze.report import text as texts


def format_findings(checked: Sequence[Suite]) -> str:
    """Return what the checks of single images found, as a Markdown table.

    Args:
        checked: Results of suites whose columns are checks, as in metrics/checks/.
    """
    rows = [
        f"| `{rule.subject}` | {rule.level} | {rule.unexpected:,} of {suite.rows:,} |"
        for suite in checked
        for rule in suite.expectations
        if rule.unexpected
    ]
    return "\n".join(["| check | level | images |", "| --- | --- | --- |", *rows])


def replace_results(readme: str, verdict: Verdict, checked: Sequence[Suite]) -> str:
    """Return the README with its results and findings replaced.

    Args:
        readme: Its text.
        verdict: The content of metrics/verdict.json.
        checked: Results of suites, as `format_findings` takes them.

    Raises:
        UnfreezeError: The README lacks one of the marks.
    """
    results = f"{texts.escape(texts.summarise(verdict))}\n\n{texts.format_results(verdict)}"
    readme = _replace(readme, "results", results)
    return _replace(readme, "findings", format_findings(checked))


def _replace(readme: str, name: str, text: str) -> str:
    marks = f"<!-- {name}: written by `make readme` -->", f"<!-- end of {name} -->"
    before, begin, rest = readme.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise UnfreezeError(f"README.md lacks {marks[0]!r} or {marks[1]!r}: put both where the {name} belong")
    return f"{before}{begin}\n{text}\n{end}{after}"
