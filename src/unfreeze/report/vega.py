"""Vega-Lite without a network: specifications as plain values, and one script that draws them."""

import json
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

# Digits of a number that a chart can show.
DIGITS = 5
# Axes and labels included, a chart is as wide as its box.
FIT = alt.AutoSizeParams(type="fit-x", contains="padding")
# Addresses in the libraries' texts: the schema a compiled chart names, the editor that no chart links to, a note.
ADDRESSES = ("https://vega.github.io/", "https://github.com/")


def specification(*layers: alt.Chart, height: int) -> dict[str, Any]:
    """Return a chart as Vega-Lite that takes its box's width, without schema and theme.

    Args:
        *layers: What to draw, the lowest first. All names stand in data and domains, never in expressions.
        height: Of the plot, in pixels.
    """
    spec = alt.LayerChart(layer=list(layers), width="container", height=height, autosize=FIT).to_dict()
    return {name: value for name, value in spec.items() if name not in ("$schema", "config")}


def data(frame: pd.DataFrame) -> alt.Data:
    """Return a table as the data of a chart: short numbers, and null for what is missing."""
    return alt.Data(values=json.loads(frame.to_json(orient="records", double_precision=DIGITS)))


def bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that names no other host but XML's namespaces.

    It is of the version that the specifications are written for.
    """
    version = ".".join(alt.VEGALITE_VERSION.split(".")[:2])
    # Its types ask for the text of a script; without one the libraries are bundled as they are, in no time.
    script = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    for address in ADDRESSES:
        script = script.replace(address, "")
    return script
