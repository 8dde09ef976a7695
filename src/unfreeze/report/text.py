"""The study as text: its result in a sentence or two, a Markdown table, and the report in Markdown."""

import re
from collections.abc import Sequence

from unfreeze.figures.formats import percent
from unfreeze.figures.parts import Table
from unfreeze.records.finding import Finding
from unfreeze.records.verdict import Verdict
from unfreeze.report import tables
from unfreeze.report.study import Study

# What Markdown, HTML in it, and GitHub's mentions, links and formulas are made from; an underscore only where it
# does not lie within a word.
_MARKUP = re.compile(r"[\\`*\[\]~#|$]|(?<!\w)_|_(?!\w)")
_AS_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//"}


def summary(verdict: Verdict) -> str:
    """Return the result in a few sentences of plain text."""
    study = verdict.study
    return (
        f"{verdict.verdict.text} Measured on {verdict.test_images:,} test images of {study.data} at "
        f"{study.image_size} pixels; always naming the largest class is right on {percent(verdict.majority)}."
    )


def table(verdict: Verdict) -> str:
    """Return the comparison as a Markdown table, without what changes from run to run, such as times."""
    return as_markdown(tables.lasting(verdict))


def markdown(study: Study) -> str:
    """Return the report as Markdown, short enough for a pull request."""
    verdict = study.verdict
    title = f"# {escaped(verdict.study.name)} on {escaped(verdict.study.data)}"
    parts = [title, escaped(summary(verdict)), table(verdict), *_pairs(verdict), *_findings(verdict)]
    lineage = "\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in study.lineage.items())
    parts += [escaped(tables.looks(verdict)), *(["## Made from", lineage] if lineage else [])]
    return "\n\n".join(parts) + "\n"


def as_markdown(of: Table) -> str:
    """Return a table as Markdown; its caption is left out."""
    marks = ["---" if number < of.words else "---:" for number in range(len(of.header))]
    lines = [[escaped(title) for title in of.header], marks]
    lines += [[escaped(str(cell)) for cell in row] for row in of.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """Return a text so that Markdown shows it as it is, in one line, also in a cell of a table."""
    text = _MARKUP.sub(lambda mark: f"\\{mark[0]}", " ".join(text.split()))
    for mark, entity in _AS_ENTITY.items():
        text = text.replace(mark, entity)
    return text


def _pairs(verdict: Verdict) -> list[str]:
    """Return the pairs that differ by more than chance, and how small a difference can be found."""
    if not verdict.pairs:
        return []
    differing = [pair for pair in verdict.pairs if pair.significant]
    shown = (
        as_markdown(tables.pairs(verdict.model_copy(update={"pairs": differing})))
        if differing
        else "No two models differ."
    )
    closing = tables.smallest_difference(verdict)
    return ["## Pairs that differ", shown, *([escaped(closing)] if closing else [])]


def _findings(verdict: Verdict) -> list[str]:
    lines = [
        f"- **{finding.level}** {escaped(finding.backbone or 'study')}: {escaped(finding.what)} "
        f"Cause: {escaped(finding.cause)} Remedy: {escaped(finding.remedy)}"
        for finding in by_level(verdict.findings)
    ]
    return ["## Findings", "\n".join(lines)] if lines else []


def by_level(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings, errors before warnings, else in their order."""
    return sorted(findings, key=lambda finding: finding.level != "error")
