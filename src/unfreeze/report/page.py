"""The study as one HTML file that loads nothing."""

import base64
import hashlib
from typing import Any, get_args
from urllib.parse import quote

from markupsafe import Markup

from unfreeze import rendering
from unfreeze.figures import theme, vega
from unfreeze.figures.formats import percent
from unfreeze.figures.lines import MOST_CLASSES
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import Section, load_charts
from unfreeze.records.pretrained_weights import RANDOM
from unfreeze.records.verdict import Row, Verdict
from unfreeze.report import mistake_cards, tables
from unfreeze.report.study import Study
from unfreeze.report.text import by_level


def page(study: Study) -> str:
    """Return the report.

    Its charts are drawn by a script in the page that may evaluate no text as code; a policy in the page keeps every
    other script from running and everything from being loaded.

    Args:
        study: What to tell.
    """
    verdict = study.verdict
    scripts = [vega.bundle_scripts(), rendering.page("report.js.j2")]
    return rendering.page(
        "report.html.j2",
        title=f"{verdict.study.name} on {verdict.study.data}",
        verdict=verdict,
        facts=facts(verdict),
        findings=by_level(verdict.findings),
        comparison=tables.comparison(verdict),
        charts=_draw_study(study),
        theme={"light": theme.LIGHT, "dark": theme.DARK},
        chart_config=theme.build_config("system-ui, sans-serif", 0),
        legend_entry=theme.LEGEND_ENTRY,
        pairs=tables.pairs(verdict),
        smallest_difference=tables.smallest_difference(verdict),
        cost=tables.cost(verdict),
        curves_note=_curves_note(verdict),
        backbones=[_backbone(row, study) for row in verdict.rows],
        checks=tables.checks(study.checks),
        looks=tables.looks(verdict),
        lineage=study.lineage,
        links=study.links,
        # The libraries and the project's own script: nothing in them comes from the study.
        scripts=[Markup(script) for script in scripts],
        digests=[digest(script) for script in scripts],
    )


def facts(verdict: Verdict) -> dict[str, str]:
    """Return what to know at a glance, by title."""
    best = verdict.rows[0]
    named = verdict.verdict
    told = {
        "Best": f"{best.backbone}, {tables.with_interval(best.accuracy, percent)}",
        "As good": ", ".join(named.as_good) or "none",
        "As good and cheaper": ", ".join(named.cheaper) or "none",
        "Baseline": verdict.study.baseline if any(row.gain for row in verdict.rows) else "",
        "Largest class": f"{percent(verdict.majority)} of the images",
        "Test fold": f"{verdict.test_images:,} images, {len(verdict.classes)} classes",
        "Image side": f"{verdict.study.image_size} pixels",
    }
    return {title: text for title, text in told.items() if text}


def digest(script: str) -> str:
    """Return a script's digest as a Content-Security-Policy names it.

    The form is that of https://www.w3.org/TR/CSP3/, section 2.3.1.
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _draw_study(study: Study) -> dict[Section, list[Chart]]:
    """Return the charts of all backbones together by the part of the page that shows them."""
    entries = load_charts()
    drawn: dict[Section, list[Chart]] = {section: [] for section in get_args(Section)}
    for of_study in entries.of_study.values():
        drawn[of_study.section].extend(of_study.draw(study.charts.study))
    for of_costs in entries.of_costs.values():
        drawn[of_costs.section].extend(of_costs.draw(study.charts))
    return drawn


def _curves_note(verdict: Verdict) -> str:
    classes = len(verdict.classes)
    if classes == 2:
        return "With two classes the curves of one class determine those of the other."
    if classes <= MOST_CLASSES:
        return "Each class against all others."
    return f"Each class against all others: the {MOST_CLASSES} of {classes} classes with the lowest mean recall."


def _backbone(row: Row, study: Study) -> dict[str, Any]:
    """Return what the section of a backbone shows."""
    verdict, name = study.verdict, row.backbone
    tabled = [
        tables.settings(row),
        tables.scores(row),
        tables.classes(row),
        tables.confused(row),
        tables.calibration(row),
    ]
    charts = [
        chart
        for entry in load_charts().of_backbone.values()
        for chart in entry.draw(study.charts.study.backbones[name])
    ]
    return {
        "anchor": f"backbone-{quote(name, safe='')}",
        "name": name,
        "marked": tables.name_of(row, verdict),
        "is_random": row.weights == RANDOM,
        "findings": [found for found in by_level(verdict.findings) if found.backbone == name],
        "tables": _filled(tabled),
        "charts": charts,
        "seeds": tables.seeds(row),
        "more_tables": _filled([tables.slices(row), tables.cost(verdict, [row])]),
        "mistakes": _cards(study, name, "mistake"),
        "doubtful": _cards(study, name, "doubtful"),
    }


def _cards(study: Study, name: str, kind: str) -> list[mistake_cards.Card]:
    return mistake_cards.cards(study.mistakes[name], kind) if name in study.mistakes else []


def _filled(of: list[Table]) -> list[Table]:
    return [table for table in of if table.rows]
