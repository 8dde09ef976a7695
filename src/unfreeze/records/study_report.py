"""reports/report.json: the verdict, what the data checks found, and what the results were made from."""

from typing import Any, Literal

from unfreeze.records.record import Record
from unfreeze.records.verdict import Verdict


class Expectation(Record):
    """One expectation of a suite.

    Args:
        column: The column or check that it is about; None for expectations of a whole table.
        rule: Name of Great Expectations' expectation.
        level: How serious a failure is.
        success: Whether it was met.
        unexpected: Number of rows that did not meet it; 0 for expectations of a whole table.
    """

    column: str | None
    rule: str
    level: Literal["warning", "error"]
    success: bool
    unexpected: int

    @property
    def subject(self) -> str:
        """What it is about, for people."""
        return self.column or self.rule


class Suite(Record):
    """The content of metrics/checks/<suite>.json, with the suite's name.

    Args:
        suite: Its name.
        success: Whether no expectation of level `error` failed.
        warnings: Number of failed expectations of level `warning`.
        rows: Number of rows that were checked.
        expectations: All of them.
    """

    suite: str
    success: bool
    warnings: int
    rows: int
    expectations: tuple[Expectation, ...]

    @property
    def failed(self) -> list[Expectation]:
        """Expectations that were not met."""
        return [expectation for expectation in self.expectations if not expectation.success]


class Report(Verdict):
    """The content of reports/report.json.

    Args:
        checks: Results of the data checks.
        lineage: What the results were made from, by what people are shown: commit, digests, versions.
    """

    checks: tuple[Suite, ...]
    lineage: dict[str, str]


def describe_schema() -> dict[str, Any]:
    """Return the JSON schema of reports/report.json, as docs/report.schema.json holds it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(mode="serialization"),
    }
