"""What charts share: one colour and one shape a name, shares as percentages, intervals.

Colours are variables of the page's style, so that a chart follows a dark theme and print without being drawn anew.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from unfreeze.records.verdict import Verdict
from unfreeze.report import vega

# Seven shapes with eight colours: the pair repeats after 56 names.
COLOURS = tuple(f"var(--series-{number})" for number in range(1, 9))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
PERCENT = ".0%"
# Pixels: a line of a chart of intervals, and the name above the interval.
LINE_HEIGHT = 42
NAME_ABOVE = -15
NAME_WIDTH = 320


def order(verdict: Verdict) -> list[str]:
    """Return the backbones in the order that colours follow: by name, so that a new best changes none."""
    return sorted(row.backbone for row in verdict.rows)


def of_names(column: str, names: Sequence[str], title: str | None) -> dict[str, Any]:
    """Return colour and shape of a column of names; the same names in the same order always look the same.

    Args:
        column: Name of the column.
        names: All names.
        title: Heading of the legend; None for no legend.
    """
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(names))]
    shapes = [SHAPES[number % len(SHAPES)] for number in range(len(names))]
    legend = None if title is None else alt.Legend(title=title, symbolLimit=len(names), labelLimit=160)
    return {
        "color": alt.Color(f"{column}:N", scale=alt.Scale(domain=list(names), range=colours), legend=legend),
        "shape": alt.Shape(f"{column}:N", scale=alt.Scale(domain=list(names), range=shapes), legend=legend),
    }


def share(column: str, title: str, *, whole: bool = False, axis: type[alt.X] | type[alt.Y] = alt.Y) -> Any:
    """Return a position for shares.

    Args:
        column: Name of the column.
        title: Title of the axis.
        whole: Whether the axis goes from 0 to 1 whatever the data.
        axis: `alt.X` or `alt.Y`.
    """
    scale = alt.Scale(domain=[0, 1]) if whole else alt.Scale(zero=False, nice=True)
    return axis(f"{column}:Q", title=title, scale=scale, axis=alt.Axis(format=PERCENT, tickCount=6))


def intervals(
    frame: pd.DataFrame, *, title: str, guide: float, written: str, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a chart of dots with their intervals, a line each.

    Args:
        frame: Columns name, value, low and high, and series if there are names; the first row comes on top.
        title: Title of the axis of values.
        guide: Where a dashed line stands.
        written: Format of numbers, as d3 names them.
        names: All names of series, which colours and shapes follow; without them all lines look alike.
    """
    looks = of_names("series", names, None) if names else {}
    colour = {name: look for name, look in looks.items() if name == "color"}
    style = [] if names else "only"
    told = [
        alt.Tooltip("name:N"),
        *(alt.Tooltip(f"{column}:Q", format=written) for column in ("value", "low", "high")),
    ]
    axis = alt.Axis(format=written, tickCount=6)
    # No axis: what a line is called must fit on a narrow page, so it stands above its interval.
    base = alt.Chart(vega.data(frame)).encode(y=alt.Y("name:N", sort=None, title=None, axis=None))
    name = base.encode(text="name:N")
    return vega.specification(
        alt.Chart(vega.data(pd.DataFrame({"guide": [guide]}))).mark_rule(style="guide").encode(x="guide:Q"),
        base.mark_rule(style=style, strokeWidth=2).encode(
            x=alt.X("low:Q", title=title, scale=alt.Scale(zero=False), axis=axis), x2="high:Q", **colour
        ),
        base.mark_point(style=style, filled=True, size=90, opacity=1).encode(
            x=alt.X("value:Q", title=title), tooltip=told, **looks
        ),
        name.mark_text(style="halo", x=0, dy=NAME_ABOVE, limit=NAME_WIDTH),
        name.mark_text(style="name", x=0, dy=NAME_ABOVE, limit=NAME_WIDTH),
        height=LINE_HEIGHT * len(frame),
    )
