"""A retraining as the text of a pull request: the verdict, what changed since the commit, and the report."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unfreeze.figures import formats
from unfreeze.figures.parts import Cell, Table
from unfreeze.paths import Paths
from unfreeze.records.judgement_record import ClassRecalls, Flip, Judgement
from unfreeze.records.study_report import DataChecks, Suite
from unfreeze.records.verdict import Row, Verdict
from unfreeze.report.text import escape, format_table
from unfreeze.runtime.redaction import redact

VERDICTS = {"promote": "promote", "keep": "keep the champion", "cannot tell": "cannot tell"}
# GitHub ends a text at 65,536 characters; the report is what can be read elsewhere.
MOST_OF_REPORT = 40_000
MOST_ROWS = 20


@dataclass(frozen=True)
class Results:
    """The results of a study: how the backbones compare, and what the data checks found."""

    verdict: Verdict
    checks: Sequence[Suite]


@dataclass(frozen=True)
class Changes:
    """What a retraining changed.

    Args:
        before: The results in the commit; None where it has none.
        after: The results now.
        report: reports/report.md now.
    """

    before: Results | None
    after: Results
    report: str

    @classmethod
    def read(cls, paths: Paths, verdict: str | None, report: str | None) -> "Changes":
        """Return the changes since a commit.

        Args:
            paths: The checkout with the results now.
            verdict: metrics/verdict.json in the commit; None where it has none.
            report: reports/report.json in the commit; None where it has none.
        """
        before = None
        if verdict and report:
            checks = DataChecks.model_validate_json(report).checks
            before = Results(Verdict.model_validate_json(verdict), checks)
        return cls(
            before,
            Results(Verdict.read(paths.verdict), DataChecks.read(paths.report_json).checks),
            paths.report_markdown.read_text(encoding="utf-8"),
        )


def write_title(commit: str, judgement: Judgement | None) -> str:
    """Return the pull request's title."""
    return f"Retrain {commit}: {VERDICTS[judgement.verdict] if judgement else 'not judged'}"


def write_body(changes: Changes, judgement: Judgement | None, told: str, *, picture: str) -> str:
    """Return the pull request's text, in Markdown and without secrets.

    Args:
        changes: What the retraining changed.
        judgement: What the gate found; None where there was nothing to compare with.
        told: The judgement, or why there is none, in a sentence.
        picture: Address of the picture of the images that changed.
    """
    judged = _tell_judgement(judgement, picture) if judgement else []
    parts = [
        f"**{_make_safe(told)}**",
        *judged,
        *_list_scores(changes),
        *_list_checks(changes),
        *_fold_report(changes.report),
    ]
    return redact("\n\n".join(parts) + "\n")


def quote(untrusted: str) -> str:
    """Return a text of unknown origin so that it is shown as it stands: no link, picture or mention comes of it."""
    shown = untrusted[:MOST_OF_REPORT]
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(longest + 1, 3)
    return redact(f"The report of the tiny study, as text:\n\n{fence}text\n{shown}\n{fence}\n")


def _tell_judgement(judgement: Judgement, picture: str) -> list[str]:
    reasons = "\n".join(f"- {_make_safe(reason)}" for reason in judgement.reasons)
    parts = ["## Verdict", format_table(_tabulate_sides(judgement)), *([reasons] if reasons else [])]
    # Nothing was scored where the champion met itself.
    if judgement.difference is None:
        return parts
    difference = formats.format_interval(judgement.difference, formats.format_points)
    told = f"Difference {difference} points of accuracy, on the same {judgement.images:,} test images."
    if judgement.more_images:
        told += f" About {judgement.more_images:,} more test images would tell."
    return [
        *parts,
        escape(told),
        format_table(_tabulate_classes(judgement.classes)),
        *_list_flips(judgement.flips, picture),
    ]


def _tabulate_sides(judgement: Judgement) -> Table:
    sides = [side for side in (judgement.champion, judgement.challenger) if side]
    rows: list[Sequence[Cell | str]] = [
        ["version", *(str(side.version) for side in sides)],
        ["backbone", *(side.backbone for side in sides)],
        *([["format", *(side.format or "packed" for side in sides)]] if any(side.format for side in sides) else []),
        ["accuracy", *(formats.format_percent(side.accuracy) for side in sides)],
        ["size, MB", *(formats.format_digits(side.size_mb) for side in sides)],
        ["latency, ms", *(formats.format_digits(side.latency_ms) for side in sides)],
    ]
    return Table("Champion and challenger", ["", "champion", "challenger"], rows)


def _tabulate_classes(classes: Mapping[str, ClassRecalls]) -> Table:
    """Return the recall of the classes, those that lost most first."""
    lost = sorted(classes.items(), key=lambda item: (item[1].challenger or 0) - (item[1].champion or 0))
    rows = [
        [
            name,
            formats.format_percent(of.champion),
            formats.format_percent(of.challenger),
            formats.format_count(of.support),
        ]
        for name, of in lost[:MOST_ROWS]
    ]
    return Table("Recall", ["recall of", "champion", "challenger", "test images"], rows)


def _list_flips(flips: Sequence[Flip], picture: str) -> list[str]:
    if not flips:
        return ["Both predict the same class for every test image."]
    fixed, regressed = (sum(flip.better is better for flip in flips) for better in (True, False))
    neither = len(flips) - fixed - regressed
    more = f"; on {neither:,} more both predict a wrong class" if neither else ""
    drawn = [f"![the images on which champion and challenger disagree]({picture})"] if fixed or regressed else []
    # Regressed first, then fixed, then neither.
    ordered = sorted(flips, key=lambda flip: (flip.better is None, bool(flip.better)))
    rows = [[flip.id, flip.label, flip.champion, flip.challenger] for flip in ordered]
    few = f"; the first {MOST_ROWS} are listed" if len(rows) > MOST_ROWS else ""
    listed = Table("Flips", ["image", "true", "champion predicts", "challenger predicts"], rows[:MOST_ROWS], words=4)
    return [
        "## Images that changed",
        f"The challenger fixes {fixed:,} and regresses on {regressed:,}{more}{few}.",
        *drawn,
        format_table(listed),
    ]


def _make_safe(told: str) -> str:
    """Return a sentence as Markdown; its secrets go first, since nothing finds them once it is escaped."""
    return escape(redact(told))


def _list_scores(changes: Changes) -> list[str]:
    """Return each backbone's scores in the commit and now."""
    rows: list[list[Cell | str]] = []
    before = {row.backbone: row for row in changes.before.verdict.rows} if changes.before else {}
    for row in changes.after.verdict.rows:
        old = before.get(row.backbone)
        rows.append(
            [
                row.backbone,
                *(formats.format_interval(of.accuracy if of else None, formats.format_percent) for of in (old, row)),
                *(_format_score(of, name) for name in ("macro_f1", "log_loss") for of in (old, row)),
            ]
        )
    header = ["backbone", "accuracy before", "accuracy now", "macro F1 before", "now", "log-loss before", "now"]
    images = [results.verdict.test_images for results in (changes.before, changes.after) if results]
    parts = ["## What changed since the commit", format_table(Table("Scores", header, rows))]
    if len(set(images)) > 1:
        parts.append(
            f"The test fold had {images[0]:,} images and has {images[1]:,} now: these scores are of different images."
        )
    return parts


def _format_score(row: Row | None, metric: str) -> str:
    score = row.scores.get(metric) if row else None
    return formats.format_decimal(score.value if score else None)


def _list_checks(changes: Changes) -> list[str]:
    """Return what the checks of data found in the commit and now."""
    before, after = (_collect_findings(results) for results in (changes.before, changes.after))
    rows = [
        [suite, check, (after.get(key) or before[key])[0], *(_count_images(found, key) for found in (before, after))]
        for key in sorted({**before, **after})
        for suite, check in [key]
    ]
    header = ["suite", "check", "level", "before", "now"]
    shown = format_table(Table("Data checks", header, rows, words=3)) if rows else "They found nothing, then and now."
    return ["## Data checks", shown]


def _collect_findings(results: Results | None) -> dict[tuple[str, str], tuple[str, int]]:
    """Return level and number of images of all that was not as expected, by suite and check."""
    return {
        (suite.suite, rule.subject): (rule.level, rule.unexpected)
        for suite in (results.checks if results else ())
        for rule in suite.failed
    }


def _count_images(found: Mapping[tuple[str, str], tuple[str, int]], key: tuple[str, str]) -> str:
    if key not in found:
        return "0"
    # Rules of a whole table count no images.
    return formats.format_count(found[key][1]) if found[key][1] else "found"


def _fold_report(report: str) -> list[str]:
    whole = (
        report
        if len(report) <= MOST_OF_REPORT
        else f"{report[:MOST_OF_REPORT]}\n\n(the rest is in reports/report.md)"
    )
    return [f"<details><summary>The report</summary>\n\n{whole}\n</details>"]
