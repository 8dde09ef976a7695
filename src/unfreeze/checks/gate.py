"""Great Expectations: runs a suite, keeps its result and pages, and ends a stage on a failure."""

import functools
import logging
import os
import re
from pathlib import Path
from typing import Any

import pandas as pd

from unfreeze import files
from unfreeze.checks.rules import Rule
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.runtime.console import log
from unfreeze.runtime.imports import quick_imports

# Must be set before Great Expectations is imported: nothing is reported.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

# Suites of the data itself, in the order in which they run.
SUITES = ("manifest", "classes", "shortcuts", "drift", "images", "split", "suspects")
EXAMPLES = 3
# What the library's pages fetch from other hosts: styles, pictures, and scripts that do nothing without them.
FROM_OTHER_HOSTS = (
    r"<script\b.*?</script>",
    r"<link\b[^>]*\bhref=[\"']https?:[^>]*>",
    r"<img\b[^>]*\bsrc=[\"']https?:[^>]*>",
    r"url\(\s*[\"']?https?:[^)]*\)",
)
# In their place; dialogs and menus open by script only.
PAGE_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0; } td, th { border: 1px solid #8884; padding: .25rem .6rem; }
.modal, .modal-backdrop, .dropdown-menu, .navbar-toggler, button { display: none; }
.badge { border: 1px solid #8884; border-radius: .3rem; padding: 0 .4rem; } pre { white-space: pre-wrap; }
</style>"""


@functools.cache
def load_library() -> None:
    """Import Great Expectations, which takes seconds."""
    with quick_imports():
        import great_expectations

    # It logs each step it takes; failures reach the user through the gate.
    logging.getLogger(great_expectations.__name__).setLevel(logging.WARNING)


def check(suite: str, frame: pd.DataFrame, rules: list[Rule], paths: Paths) -> dict[str, list[str]]:
    """Validate a table, write the result and its Data Docs, and return what is wrong.

    Args:
        suite: Name of the suite; also of its result and its pages.
        frame: The table.
        rules: What it must satisfy.
        paths: Where results go.

    Returns:
        By level, `error` and `warning`: a line a failed rule, with examples and remedy.
    """
    load_library()
    import great_expectations as gx
    from great_expectations.checkpoint import UpdateDataDocsAction

    docs = paths.data_docs / suite
    files.remove(docs)
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
    for site in list(context.get_site_names()):
        context.delete_data_docs_site(site)
    context.add_data_docs_site(
        site_name=suite,
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
        },
    )
    batch = (
        context.data_sources.add_pandas("pandas")
        .add_dataframe_asset(suite)
        .add_batch_definition_whole_dataframe(suite)
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=suite,
            data=batch,
            suite=context.suites.add(gx.ExpectationSuite(suite, expectations=expectations)),
        )
    )
    checkpoint = gx.Checkpoint(
        name=suite,
        validation_definitions=[definition],
        actions=[UpdateDataDocsAction(name="docs", site_names=[suite])],
        result_format={"result_format": "COMPLETE"},
    )
    outcome = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": frame})
    results = next(iter(outcome.run_results.values())).results
    load_nothing_from_other_hosts(docs)
    problems: dict[str, list[str]] = {"error": [], "warning": []}
    table = []
    for result in results:
        rule = rules[result.expectation_config.meta["rule"]]
        table.append(
            {
                "rule": result.expectation_config.type,
                "column": result.expectation_config.kwargs.get("column"),
                "level": rule.level,
                "success": bool(result.success),
                "unexpected": int(result.result.get("unexpected_count") or 0),
            }
        )
        if not result.success:
            problems[rule.level].append(f"{rule.problem}{_examples(frame, result)}: {rule.remedy}")
    summary = {"success": not problems["error"], "warnings": len(problems["warning"])}
    files.write_json(paths.checks(suite), {**summary, "rows": len(frame), "expectations": table})
    return problems


def gate(suite: str, frame: pd.DataFrame, rules: list[Rule], paths: Paths, *, backbone: str | None = None) -> None:
    """Validate a table, tell of every failed rule, and end the stage if one is an error.

    Args:
        suite: Name of the suite.
        frame: The table.
        rules: What it must satisfy.
        paths: Where results go.
        backbone: Whose results these are. Those of untrained weights end nothing: they are there to be compared
            with, so a collapse or a poor score of theirs is a result to be told and no fault.

    Raises:
        UnfreezeError: Names each failed rule that is an error, examples and the remedy.
    """
    problems = check(suite, frame, rules, paths)
    for problem in problems["warning"]:
        log.warning("%s: %s", suite, problem)
    fatal = backbone is None or files.read_json(paths.weights_record(backbone))["pretrained"]
    if problems["error"] and fatal:
        page = paths.data_docs / suite / "index.html"
        raise UnfreezeError(f"{suite} check failed: {'; '.join(problems['error'])}. Details: {page}")
    for problem in problems["error"]:
        log.warning("%s: %s", suite, problem)


def load_nothing_from_other_hosts(docs: Path) -> None:
    """Rid the library's pages of all they fetch: they are read where there is no network, and tell nobody."""
    for page in docs.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for pattern in FROM_OTHER_HOSTS:
            text = re.sub(pattern, "", text, flags=re.DOTALL | re.IGNORECASE)
        page.write_text(text.replace("</head>", f"{PAGE_STYLE}</head>", 1), encoding="utf-8")


def pages(paths: Paths, shown_on: Path) -> list[tuple[str, str]]:
    """Return title and relative address of every suite's pages, for a page that links them.

    Args:
        paths: Where the pages lie.
        shown_on: The page with the links.
    """
    return [
        (f"Great Expectations: {suite}", os.path.relpath(paths.data_docs / suite / "index.html", shown_on.parent))
        for suite in SUITES
    ]


def _examples(frame: pd.DataFrame, result: Any) -> str:
    if exception := _exception(result):
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


def _exception(result: Any) -> str | None:
    info = result.exception_info or {}
    nested = [info] if "raised_exception" in info else [value for value in info.values() if isinstance(value, dict)]
    return next((str(item.get("exception_message")) for item in nested if item.get("raised_exception")), None)
