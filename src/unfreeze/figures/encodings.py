"""Encodings that charts share: one colour and one shape for a name, shares as percentages, intervals."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from unfreeze.figures import vega

# Seven shapes with eight colours: the pair repeats after 56 names. theme.py gives the colours.
COLOURS = tuple(f"var(--series-{number})" for number in range(1, 9))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
PERCENT = ".0%"
# Height of a line in a chart of intervals, and distance of its name above the interval, pixels.
LINE_HEIGHT = 42
NAME_ABOVE = -15
NAME_WIDTH = 320


def encode_names(column: str, names: Sequence[str], title: str | None) -> dict[str, Any]:
    """Return colour and shape of a column of names; the same names in the same order always look the same.

    Args:
        column: Name of the column.
        names: All names.
        title: Heading of the legend; None for no legend.
    """
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(names))]
    shapes = [SHAPES[number % len(SHAPES)] for number in range(len(names))]
    legend = None if title is None else alt.Legend(title=title, symbolLimit=len(names), labelLimit=140)
    return {
        "color": alt.Color(f"{column}:N", scale=alt.Scale(domain=list(names), range=colours), legend=legend),
        "shape": alt.Shape(f"{column}:N", scale=alt.Scale(domain=list(names), range=shapes), legend=legend),
    }


def encode_share(column: str, title: str, *, whole: bool = False, axis: type[alt.X] | type[alt.Y] = alt.Y) -> Any:
    """Return a position for shares.

    Args:
        column: Name of the column.
        title: Title of the axis.
        whole: Whether the axis goes from 0 to 1 whatever the data.
        axis: `alt.X` or `alt.Y`.
    """
    scale = alt.Scale(domain=[0, 1]) if whole else alt.Scale(zero=False, nice=True)
    return axis(f"{column}:Q", title=title, scale=scale, axis=alt.Axis(format=PERCENT, tickCount=6))


def draw_intervals(
    frame: pd.DataFrame, *, title: str, guide: float, number_format: str, names: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a chart of points with their intervals, one line each.

    Args:
        frame: Columns name, value, low and high, and series if there are names; the first row is on top.
        title: Title of the axis of values.
        guide: Position of the dashed line.
        number_format: How numbers are written, in the notation of d3-format.
        names: All names of series, which decide colours and shapes; without them all lines look alike.
    """
    marks = encode_names("series", names, None) if names else {}
    colour = {name: mark for name, mark in marks.items() if name == "color"}
    style = [] if names else "only"
    columns = ("value", "low", "high")
    tooltip = [alt.Tooltip("name:N"), *(alt.Tooltip(f"{column}:Q", format=number_format) for column in columns)]
    axis = alt.Axis(format=number_format, tickCount=6)
    # No axis: a name must fit on a narrow page, so it is written above its interval.
    base = alt.Chart(vega.make_data(frame)).encode(y=alt.Y("name:N", sort=None, title=None, axis=None))
    limits = {"x": alt.X("low:Q", title=title, scale=alt.Scale(zero=False), axis=axis), "x2": "high:Q"}
    value = alt.X("value:Q", title=title)
    name = base.encode(text="name:N")
    dashed = alt.Chart(vega.make_data(pd.DataFrame({"guide": [guide]})))
    return vega.build_spec(
        dashed.mark_rule(style="guide").encode(x="guide:Q"),
        base.mark_rule(style=style, strokeWidth=2).encode(**limits, **colour),
        base.mark_point(style=style, filled=True, size=90, opacity=1).encode(x=value, tooltip=tooltip, **marks),
        name.mark_text(style="halo", x=0, dy=NAME_ABOVE, limit=NAME_WIDTH),
        name.mark_text(style="name", x=0, dy=NAME_ABOVE, limit=NAME_WIDTH),
        height=LINE_HEIGHT * len(frame),
    )


def spread_evenly(length: int, most: int) -> np.ndarray:
    """Return at most so many positions of a sequence, evenly spaced, the first and the last among them.

    >>> spread_evenly(5, 3).tolist()
    [0, 2, 4]
    """
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))
