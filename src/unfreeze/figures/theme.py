"""Colours and styles of all charts: the page and the PNGs read the same ones.

Specifications name colours as variables of the page's style sheet, `var(--series-1)`, so that a chart on the page
follows a dark theme and print without being drawn again. A PNG has no style sheet and takes the light colours.
"""

import json
from typing import Any

_INK = "#1b1f24"

LIGHT = {
    "paper": "#fff", "ink": _INK, "muted": "#57606a", "line": "#d8dee4", "soft": "#f4f6f8", "link": "#0a58ca",
    "error": "#b3261e", "warning": "#8a5a00",
    "series-1": "#1f6fb5", "series-2": "#c2410c", "series-3": "#2e7d32", "series-4": "#8e3fb0",
    "series-5": "#a86b00", "series-6": "#c2256f", "series-7": "#00797a", "series-8": "#5b6470",
}  # fmt: skip
DARK = {
    "paper": "#14181d", "ink": "#e8ecf0", "muted": "#a3adb8", "line": "#38414b", "soft": "#1d232a", "link": "#8ab8ff",
    "error": "#ff9d94", "warning": "#f0c060",
    "series-1": "#6cb2f5", "series-2": "#ff9a5c", "series-3": "#7bcf80", "series-4": "#d19cf0",
    "series-5": "#e3b34d", "series-6": "#ff8fbf", "series-7": "#55cfcf", "series-8": "#b3bcc6",
}  # fmt: skip
# Width in pixels that a legend's entry takes.
LEGEND_ENTRY = 170
_TEXT: dict[str, Any] = {"fontSize": 12, "align": "left", "baseline": "middle"}
_LABELS: dict[str, Any] = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}


def build_config(font: str, width: float) -> dict[str, Any]:
    """Return the Vega-Lite configuration of every chart.

    Args:
        font: Font family.
        width: Width of the chart in pixels, which decides the columns of its legend.
    """
    paper, ink, muted, line, first = (f"var(--{name})" for name in ("paper", "ink", "muted", "line", "series-1"))
    return {
        "aria": False,
        "background": None,
        "font": font,
        "view": {"stroke": None},
        "title": {"color": ink, "subtitleColor": muted, "fontSize": 14, "subtitleFontSize": 11, "anchor": "start"},
        "axis": {
            "labelColor": muted, "titleColor": muted, "gridColor": line, "domainColor": line, "tickColor": line,
            "labelOverlap": True, **_LABELS,
        },
        "legend": {
            "orient": "top", "direction": "horizontal", "columns": max(1, int(width // LEGEND_ENTRY)),
            "labelColor": ink, "titleColor": muted, **_LABELS,
        },
        "text": {"color": ink, "fontSize": 12},
        "style": {
            "guide": {"color": muted, "strokeDash": [5, 4], "strokeWidth": 1.25},
            "name": {"color": ink, **_TEXT},
            "halo": {"color": paper, "stroke": paper, "strokeWidth": 4, **_TEXT},
            "only": {"color": first},
            "band": {"color": first, "fillOpacity": 0.18},
            "matrix": {"color": first},
        },
    }  # fmt: skip


def replace_variables(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a specification with the light colours in place of variables.

    >>> replace_variables({"color": "var(--paper)"})
    {'color': '#fff'}
    """
    text = json.dumps(spec)
    for name, colour in LIGHT.items():
        text = text.replace(f'"var(--{name})"', f'"{colour}"')
    replaced: dict[str, Any] = json.loads(text)
    return replaced
