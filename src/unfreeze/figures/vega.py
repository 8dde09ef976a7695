"""Vega-Lite without a network: specifications as plain values, the script that draws them, and their PNGs."""

import functools
import importlib.util
import io
import json
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from PIL import Image

from unfreeze import files
from unfreeze.errors import UnfreezeError, shorten
from unfreeze.figures import theme
from unfreeze.figures.parts import Chart

# Decimals of a number that a chart can show.
DECIMALS = 5
# Axes and labels included, a chart is as wide as its box.
FIT = alt.AutoSizeParams(type="fit-x", contains="padding")
# Addresses in the libraries' texts: the schema a compiled chart names, the editor that no chart links to, a note.
ADDRESSES = ("https://vega.github.io/", "https://github.com/")
# Matplotlib brings this font with it, so that a PNG has the same bytes on a machine with other fonts or with none.
FONT = "DejaVu Sans"
# Pixels of a PNG for each pixel of the specification.
SCALE = 1.5
# Columns of a PNG: of a few charts, and of more than those.
COLUMNS = 2
MANY_COLUMNS = 4
FEW_CHARTS = 6
# Letters in a line of a note, also above a narrower plot, and width of a letter in pixels.
LETTERS = 50
LETTER = 6


def build_spec(*layers: alt.Chart, height: int) -> dict[str, Any]:
    """Return a chart as Vega-Lite that takes its box's width, without schema and theme.

    Args:
        *layers: What to draw, the lowest layer first. Names given by users are data and domains, never expressions.
        height: Height of the plot, pixels.
    """
    chart = alt.LayerChart(layer=list(layers), width="container", height=height, autosize=FIT)
    # Altair compares each part with the whole schema, a third of the time; `write_png` refuses what cannot be drawn.
    spec = chart.to_dict(validate=False)
    return {name: value for name, value in spec.items() if name not in ("$schema", "config")}


def make_data(frame: pd.DataFrame) -> alt.Data:
    """Return a table as the data of a chart: numbers with 5 decimals, null for what is missing.

    >>> make_data(pd.DataFrame({"epoch": [1], "loss": [0.1234567]})).values
    [{'epoch': 1, 'loss': 0.12346}]
    """
    return alt.Data(values=json.loads(frame.to_json(orient="records", double_precision=DECIMALS)))


def find_scripts(folder: Path | None = None) -> str:
    """Return what `bundle_scripts` does, which takes more than a second, as it was kept by an earlier report.

    Args:
        folder: Where the script is kept; None bundles it.
    """
    if folder is None:
        return bundle_scripts()
    kept = folder / f"vega-{version('vl-convert-python')}-{_read_version()}.js"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_bytes().decode()
    script = bundle_scripts()
    # Where nothing can be kept, it is bundled again.
    with suppress(OSError, UnfreezeError):
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(kept, script)
    return script


@functools.cache
def bundle_scripts() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that names no other host but XML's namespaces.

    It has the version that the specifications are written for.
    """
    # The library's types require a snippet; without one all three libraries are bundled as they are, and quickly.
    script = vl_convert.javascript_bundle(vl_version=_read_version())  # type: ignore[call-arg]
    for address in ADDRESSES:
        script = script.replace(address, "")
    return script


def write_png(charts: Sequence[Chart], title: str, path: Path) -> None:
    """Write charts side by side as one PNG; the same charts give the same bytes.

    Args:
        charts: The charts; without any the PNG says that there is nothing to show.
        title: Heading of the PNG.
        path: The file to write.

    Raises:
        UnfreezeError: A specification is not valid Vega-Lite.
    """
    _register_font()
    spec = {
        "title": {"text": title, "offset": 14},
        "concat": [_build_panel(chart) for chart in charts] or [_NOTHING],
        "columns": COLUMNS if len(charts) <= FEW_CHARTS else MANY_COLUMNS,
        "spacing": {"row": 28, "column": 48},
        "datasets": {name: rows for chart in charts for name, rows in chart.spec.get("datasets", {}).items()},
        "background": theme.LIGHT["paper"],
        "padding": 16,
    }
    widest = max((chart.width for chart in charts), default=0)
    config = theme.replace_variables(theme.build_config(FONT, widest))
    # A legend on top would stand above the titles of the panels.
    config["legend"]["orient"] = "bottom"
    try:
        png = vl_convert.vegalite_to_png(
            theme.replace_variables(spec),
            vl_version=_read_version(),
            scale=SCALE,
            config=config,
            allowed_base_urls=[],
        )
    except ValueError as error:
        raise UnfreezeError(f"the chart {title!r} is not valid Vega-Lite: {shorten(error)}") from error
    with files.atomic(path) as partial, Image.open(io.BytesIO(png)) as image:
        # A third of the size that vl-convert writes.
        image.convert("RGB").save(partial)


_NOTHING = {
    "data": {"values": [{}]},
    "mark": "text",
    "width": 360,
    "height": 60,
    "encoding": {"text": {"value": "nothing to show"}},
}


def _build_panel(chart: Chart) -> dict[str, Any]:
    """Return a chart as a part of a PNG, with a width of its own, and title and notes above it."""
    panel = {name: value for name, value in chart.spec.items() if name not in ("autosize", "datasets")}
    letters = max(LETTERS, chart.width // LETTER)
    notes = [line for note in chart.notes for line in textwrap.wrap(note, letters)]
    return {**panel, "width": chart.width, "title": {"text": chart.title, "subtitle": notes, "fontSize": 12}}


@functools.cache
def _register_font() -> None:
    """Make Matplotlib's copy of the font known, without importing Matplotlib."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None and found.origin is not None
    vl_convert.register_font_directory(str(Path(found.origin).parent / "mpl-data/fonts/ttf"))


def _read_version() -> str:
    """Return the version of Vega-Lite that the specifications are written for."""
    return ".".join(alt.VEGALITE_VERSION.split(".")[:2])
