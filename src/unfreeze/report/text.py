"""The study as text: its result in two sentences, a Markdown table, and the report in Markdown."""

import re
from collections.abc import Sequence

from unfreeze.figures.formats import format_percent
from unfreeze.figures.parts import Table
from unfreeze.records.corrections import Corrections
from unfreeze.records.exported_model import RecordedExports
from unfreeze.records.finding import Finding
from unfreeze.records.verdict import Verdict
from unfreeze.report import corrections, exports, tables
from unfreeze.report.study import Study

# Characters that start Markdown, HTML, or GitHub's mentions, links and formulas; underscores only at ends of words.
_MARKUP = re.compile(r"[\\`*\[\]~#|$]|(?<!\w)_|_(?!\w)")
_AS_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//"}


def summarise(verdict: Verdict) -> str:
    """Return the result in a few sentences of plain text."""
    study = verdict.study
    return (
        f"{verdict.verdict.text} Measured on {verdict.test_images:,} test images of {study.data} at "
        f"{study.image_size} pixels; the majority-class baseline has an accuracy of "
        f"{format_percent(verdict.majority)}."
    )


def format_results(verdict: Verdict) -> str:
    """Return the comparison as a Markdown table, without measured times."""
    return format_table(tables.tabulate_results(verdict))


def format_report(study: Study) -> str:
    """Return the report as Markdown, short enough for a pull request."""
    verdict = study.verdict
    title = f"# {escape(verdict.study.name)} on {escape(verdict.study.data)}"
    parts = [title, escape(summarise(verdict)), format_results(verdict)]
    parts += [
        *_format_pairs(verdict),
        *_format_abstention(verdict),
        *_format_exports(study.exports),
        *_format_findings(verdict),
        *_format_corrections(study.corrections),
        *_format_samples(verdict),
    ]
    lineage = "\n".join(f"- {escape(name)}: {escape(value)}" for name, value in study.lineage.items())
    parts += [escape(tables.describe_test_evaluations(verdict)), *(["## Provenance", lineage] if lineage else [])]
    return "\n\n".join(parts) + "\n"


def format_table(of: Table) -> str:
    """Return a table as Markdown; its caption is left out."""
    marks = ["---" if number < of.words else "---:" for number in range(len(of.header))]
    lines = [[escape(title) for title in of.header], marks]
    lines += [[escape(str(cell)) for cell in row] for row in of.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    r"""Return a text in one line that Markdown shows literally, in cells of tables too.

    >>> escape("from_scratch *and* @all")
    'from_scratch \\*and\\* &#64;all'
    """
    text = _MARKUP.sub(lambda mark: f"\\{mark[0]}", " ".join(text.split()))
    for mark, entity in _AS_ENTITY.items():
        text = text.replace(mark, entity)
    return text


def _format_pairs(verdict: Verdict) -> list[str]:
    """Return the pairs that differ significantly, and the smallest difference that can be detected."""
    if not verdict.pairs:
        return []
    differing = [pair for pair in verdict.pairs if pair.significant]
    shown = (
        format_table(tables.tabulate_pairs(verdict.model_copy(update={"pairs": differing})))
        if differing
        else "No two models differ significantly."
    )
    closing = tables.describe_smallest_difference(verdict)
    return ["## Significant differences", shown, *([escape(closing)] if closing else [])]


def _format_abstention(verdict: Verdict) -> list[str]:
    of = tables.tabulate_all_abstentions(verdict)
    return ["## Abstention", f"{escape(of.caption)}:", format_table(of)]


def _format_exports(of: Sequence[RecordedExports]) -> list[str]:
    sentences, formats = exports.describe_exports(of), exports.tabulate_exports(of)
    if not sentences:
        return []
    return ["## Exported formats", escape(" ".join(sentences)), *([format_table(formats)] if formats.rows else [])]


def _format_corrections(of: Corrections) -> list[str]:
    sentences, effects = corrections.describe_corrections(of), corrections.tabulate_effects(of)
    if not sentences:
        return []
    return ["## Corrections", escape(" ".join(sentences)), *([format_table(effects)] if effects.rows else [])]


def _format_samples(verdict: Verdict) -> list[str]:
    lines = [
        f"- {escape(row.backbone)}: {escape(said)}" for row in verdict.rows if (said := tables.describe_sample(row))
    ]
    return ["## Samples", "\n".join(lines)] if lines else []


def _format_findings(verdict: Verdict) -> list[str]:
    lines = [
        f"- **{finding.level}** {escape(finding.backbone or 'study')}: {escape(finding.what)} "
        f"Cause: {escape(finding.cause)} Remedy: {escape(finding.remedy)}"
        for finding in sort_findings(verdict.findings)
    ]
    return ["## Findings", "\n".join(lines)] if lines else []


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with errors first, otherwise in the same order."""
    return sorted(findings, key=lambda finding: finding.level != "error")
