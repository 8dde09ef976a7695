"""A pytest plugin: with `--no-unlisted-skips`, or CI set, a test that is skipped for a reason not listed here fails.

A test that is skipped shows nothing, and a run of such tests looks like one in which all is well.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

# Regular expression of the skip's reason -> why a run without the test is still worth something.
ALLOWED_SKIPS = {
    r"there is no Chromium here": "No package index has a browser; CI installs one.",
    r"PostgreSQL is not installed": "No package index has the server; CI installs it. SQLite is tested everywhere.",
    r"the extra `cluster` is not installed": "240 MB that one machine does not need; CI installs it.",
    r"the extra `hub` is not installed": "65 MB that few backbones need; CI installs it.",
    r"the extra `heic` is not installed": "Its codec of HEVC may not be wanted on each machine; CI installs it.",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-unlisted-skips",
        action="store_true",
        default=bool(os.environ.get("CI")),
        help="fail tests that are skipped for a reason not in tests/allowed_skips.py; set by CI",
    )


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    return fail_unlisted_skip((yield), item.config)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[Any]:
    return fail_unlisted_skip((yield), collector.config)


def fail_unlisted_skip(report: Any, config: pytest.Config) -> Any:
    """Return the report, as a failure if it is a skip that is not listed; an expected failure is no skip."""
    if not report.skipped or hasattr(report, "wasxfail") or not config.getoption("no_unlisted_skips"):
        return report
    reason = report.longrepr[2].removeprefix("Skipped: ")
    if not any(re.search(pattern, reason) for pattern in ALLOWED_SKIPS):
        report.outcome = "failed"
        report.longrepr = (
            f"skipped ({reason}), and that is not in ALLOWED_SKIPS of tests/allowed_skips.py: "
            "let the test run, or list the reason there and say why it may be skipped"
        )
    return report
