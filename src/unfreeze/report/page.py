"""The study as one HTML file that loads nothing."""

from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from markupsafe import Markup

from unfreeze import rendering
from unfreeze.figures import theme, vega
from unfreeze.figures.formats import format_interval, format_percent, mark_baseline
from unfreeze.figures.lines import MOST_CLASSES
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import Section, load_charts
from unfreeze.records.pretrained_weights import RANDOM
from unfreeze.records.study_report import ReportedRow
from unfreeze.records.verdict import Verdict
from unfreeze.report import corrections, exports, mistake_cards, tables
from unfreeze.report.study import Study
from unfreeze.report.text import sort_findings


def build_page(study: Study, *, kept: Path | None = None) -> str:
    """Return the report.

    Its charts are drawn by a script in the page that may evaluate no text as code; a policy in the page keeps every
    other script from running and everything from being loaded.

    Args:
        study: The results.
        kept: The folder in which the charts' script is kept for the next report.
    """
    verdict = study.verdict
    scripts = [vega.find_scripts(kept), rendering.render_page("report.js.j2")]
    return rendering.render_page(
        "report.html.j2",
        title=f"{verdict.study.name} on {verdict.study.data}",
        verdict=verdict,
        facts=list_facts(verdict),
        findings=sort_findings(verdict.findings),
        comparison=tables.tabulate_comparison(verdict),
        charts=_draw_study(study),
        theme={"light": theme.LIGHT, "dark": theme.DARK},
        chart_config=theme.build_config("system-ui, sans-serif", 0),
        legend_entry=theme.LEGEND_ENTRY,
        pairs=tables.tabulate_pairs(verdict),
        smallest_difference=tables.describe_smallest_difference(verdict),
        cost=tables.tabulate_costs(verdict),
        exports=exports.describe_exports(study.exports),
        formats=exports.tabulate_exports(study.exports),
        curves_note=_describe_classes(verdict),
        backbones=[_describe_backbone(row, study) for row in verdict.rows],
        checks=tables.tabulate_checks(study.checks),
        corrections=corrections.describe_corrections(study.corrections),
        effects=corrections.tabulate_effects(study.corrections),
        looks=tables.describe_test_evaluations(verdict),
        lineage=study.lineage,
        links=study.links,
        # The libraries and the project's own script: nothing in them comes from the study.
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        digests=[rendering.hash_script(script) for script in scripts],
    )


def list_facts(verdict: Verdict) -> dict[str, str]:
    """Return the key facts by title."""
    best = verdict.rows[0]
    named = verdict.verdict
    shown = {
        "Best": f"{best.backbone}, {format_interval(best.accuracy, format_percent)}",
        "Not significantly worse": ", ".join(named.as_good) or "none",
        "Of these, cheaper": ", ".join(named.cheaper) or "none",
        "Baseline": verdict.study.baseline if any(row.gain for row in verdict.rows) else "",
        "Majority-class baseline": format_percent(verdict.majority),
        "Test fold": f"{verdict.test_images:,} images, {len(verdict.classes)} classes",
        "Image side": f"{verdict.study.image_size} pixels",
    }
    return {title: text for title, text in shown.items() if text}


def _draw_study(study: Study) -> dict[Section, list[Chart]]:
    """Return the charts of all backbones together by the part of the page that shows them."""
    entries = load_charts()
    drawn: dict[Section, list[Chart]] = {section: [] for section in get_args(Section)}
    for of_study in entries.of_study.values():
        drawn[of_study.section].extend(of_study.draw(study.charts.study))
    for of_costs in entries.of_costs.values():
        drawn[of_costs.section].extend(of_costs.draw(study.charts))
    return drawn


def _describe_classes(verdict: Verdict) -> str:
    classes = len(verdict.classes)
    if classes == 2:
        return "With two classes the curves of one class determine those of the other."
    if classes <= MOST_CLASSES:
        return "Each class against all others."
    return f"Each class against all others: the {MOST_CLASSES} of {classes} classes with the lowest mean recall."


def _describe_backbone(row: ReportedRow, study: Study) -> dict[str, Any]:
    """Return what the section of a backbone shows."""
    verdict, name = study.verdict, row.backbone
    tabled = [
        tables.tabulate_settings(row),
        tables.tabulate_scores(row),
        tables.tabulate_classes(row),
        tables.tabulate_confusions(row),
        tables.tabulate_calibration(row),
        tables.tabulate_abstention(row),
        tables.tabulate_unlike_images(row),
    ]
    charts = [
        chart
        for entry in load_charts().of_backbone.values()
        for chart in entry.draw(study.charts.study.backbones[name])
    ]
    return {
        "anchor": f"backbone-{quote(name, safe='')}",
        "name": name,
        "marked": mark_baseline(row.backbone, verdict),
        "is_random": row.weights == RANDOM,
        "findings": [found for found in sort_findings(verdict.findings) if found.backbone == name],
        "tables": _drop_empty(tabled),
        "charts": charts,
        "seeds": tables.describe_seeds(row),
        "sample": tables.describe_sample(row),
        "more_tables": _drop_empty([tables.tabulate_slices(row), tables.tabulate_costs(verdict, [row])]),
        "mistakes": _make_cards(study, name, "mistake"),
        "doubtful": _make_cards(study, name, "doubtful"),
    }


def _make_cards(study: Study, name: str, kind: str) -> list[mistake_cards.Card]:
    return mistake_cards.make_cards(study.mistakes[name], kind) if name in study.mistakes else []


def _drop_empty(of: list[Table]) -> list[Table]:
    return [table for table in of if table.rows]
