"""Great Expectations: validates tables by rules, keeps result and page, and ends a stage on a failure."""

import functools
import logging
import os
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files, rendering
from unfreeze.checks.rules import Rule
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.runtime.imports import pause_collector

# Must be set before Great Expectations is imported: nothing is reported.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

# Suites of the data itself, in the order in which they run.
SUITES = ("manifest", "classes", "shortcuts", "drift", "images", "split", "suspects")
EXAMPLES = 3


@dataclass(frozen=True)
class Outcome:
    """The result of one rule.

    Args:
        rule: The rule.
        expectation: Great Expectations' name of it, such as `expect_column_values_to_be_unique`.
        success: Whether the table satisfies it.
        unexpected: Number of rows that break it; 0 for rules on the table as a whole.
        examples: The first rows that break it, or the value found, in brackets; empty for none.
    """

    rule: Rule
    expectation: str
    success: bool
    unexpected: int
    examples: str

    @property
    def column(self) -> str | None:
        """Name of the column that the rule is about; None if it is about the table."""
        return self.rule.arguments.get("column")

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the expectation other than the column."""
        return {name: value for name, value in self.rule.arguments.items() if name != "column"}

    @property
    def problem(self) -> str:
        """One line for people: the problem, examples, and the remedy."""
        return f"{self.rule.problem}{self.examples}: {self.rule.remedy}"


@functools.cache
def load_library() -> None:
    """Import Great Expectations, which takes seconds."""
    with pause_collector():
        import great_expectations

    # It logs each step it takes; failures reach the user through the gate.
    logging.getLogger(great_expectations.__name__).setLevel(logging.WARNING)


def validate(suite: str, frame: pd.DataFrame, rules: list[Rule], paths: Paths) -> dict[str, list[str]]:
    """Validate a table, write the result and its page, and return what is wrong.

    Args:
        suite: Name of the suite; also of its result and its page.
        frame: The table; its first column names the rows in messages.
        rules: What it must satisfy.
        paths: Where results go.

    Returns:
        By level, `error` and `warning`: a line for each failed rule, with examples and remedy.
    """
    outcomes = validate_table(suite, frame, rules)
    problems: dict[str, list[str]] = {"error": [], "warning": []}
    for outcome in outcomes:
        if not outcome.success:
            problems[outcome.rule.level].append(outcome.problem)
    table = [
        {
            "rule": outcome.expectation,
            "column": outcome.column,
            "level": outcome.rule.level,
            "success": outcome.success,
            "unexpected": outcome.unexpected,
        }
        for outcome in outcomes
    ]
    summary = {"success": not problems["error"], "warnings": len(problems["warning"])}
    files.write_json(paths.checks(suite), {**summary, "rows": len(frame), "expectations": table})
    docs = paths.data_docs / suite
    files.remove(docs)
    page = rendering.render_page("expectations.html.j2", suite=suite, rows=len(frame), outcomes=outcomes)
    files.write_text(docs / "index.html", page)
    return problems


def validate_table(suite: str, frame: pd.DataFrame, rules: list[Rule]) -> list[Outcome]:
    """Let Great Expectations compare a table with rules.

    Args:
        suite: Name of the suite.
        frame: The table; its first column names the rows in messages.
        rules: What it must satisfy.

    Returns:
        One outcome a rule, in the order of Great Expectations.
    """
    load_library()
    import great_expectations as gx

    expectations = [
        getattr(gx.expectations, rule.expectation)(
            **rule.arguments,
            severity="critical" if rule.level == "error" else "warning",
            meta={"rule": number, "problem": rule.problem, "remedy": rule.remedy},
        )
        for number, rule in enumerate(rules)
    ]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset(suite)
    batch = asset.add_batch_definition_whole_dataframe(suite).get_batch({"dataframe": frame})
    validated = batch.validate(gx.ExpectationSuite(suite, expectations=expectations), result_format="COMPLETE")
    return [
        Outcome(
            rules[result.expectation_config.meta["rule"]],
            result.expectation_config.type,
            success=bool(result.success),
            unexpected=int(result.result.get("unexpected_count") or 0),
            examples=_show_examples(frame, result),
        )
        for result in validated.results
    ]


def enforce(suite: str, frame: pd.DataFrame, rules: list[Rule], paths: Paths, *, backbone: str | None = None) -> None:
    """Validate a table, log every failed rule, and end the stage if one is an error.

    Args:
        suite: Name of the suite.
        frame: The table.
        rules: What it must satisfy.
        paths: Where results go.
        backbone: Backbone that the table is about. Untrained weights never end a stage: they are a baseline, and a
            collapse or a poor score of theirs is a result.

    Raises:
        UnfreezeError: Names each failed rule that is an error, examples and the remedy.
    """
    problems = validate(suite, frame, rules, paths)
    for problem in problems["warning"]:
        log.warning("%s: %s", suite, problem)
    fatal = backbone is None or files.read_json(paths.weights_record(backbone))["pretrained"]
    if problems["error"] and fatal:
        page = paths.data_docs / suite / "index.html"
        raise UnfreezeError(f"{suite} check failed: {'; '.join(problems['error'])}. Details: {page}")
    for problem in problems["error"]:
        log.warning("%s: %s", suite, problem)


def list_pages(paths: Paths, shown_on: Path) -> list[tuple[str, str]]:
    """Return title and relative address of every suite's page, for a page that links them.

    Args:
        paths: Where the pages are.
        shown_on: The page with the links.
    """
    return [
        (f"Great Expectations: {suite}", os.path.relpath(paths.data_docs / suite / "index.html", shown_on.parent))
        for suite in SUITES
    ]


def _show_examples(frame: pd.DataFrame, result: Any) -> str:
    if exception := _find_exception(result):
        return f" ({exception})"
    rows = result.result.get("unexpected_index_list") or []
    if not rows:
        observed = result.result.get("observed_value")
        return "" if observed is None else f" (found {observed})"
    named = frame.columns[0]
    names = [
        str(frame.loc[row["index"] if isinstance(row, dict) and "index" in row else row, named])
        for row in rows[:EXAMPLES]
    ]
    more = f" and {len(rows) - EXAMPLES} more" if len(rows) > EXAMPLES else ""
    return f" ({', '.join(names)}{more})"


def _find_exception(result: Any) -> str | None:
    info = result.exception_info or {}
    nested = [info] if "raised_exception" in info else [value for value in info.values() if isinstance(value, dict)]
    return next((str(item.get("exception_message")) for item in nested if item.get("raised_exception")), None)


@dataclass(frozen=True)
class Judgements:
    """Suites that Great Expectations validates in another process.

    Args:
        process: The process.
        paths: Where results go.
        running: Future of each suite by name.
    """

    process: Executor
    paths: Paths
    running: dict[str, Future[None]] = field(default_factory=dict)

    def submit(self, suite: str, table: pd.DataFrame, wanted: list[Rule]) -> None:
        """Start to validate a table."""
        self.running[suite] = self.process.submit(enforce, suite, table, wanted, self.paths)

    def wait(self) -> list[str]:
        """Wait for all suites and return the errors: first those of images, why classes have too few."""
        problems = []
        for suite in sorted(self.running, key=SUITES.index):
            try:
                self.running[suite].result()
            except UnfreezeError as error:
                problems.append(str(error))
        return problems
