"""The confusion matrix of a backbone."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from unfreeze.figures import encodings, vega
from unfreeze.figures.data import BackboneData
from unfreeze.figures.formats import format_count, format_percent
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_backbone_chart

# With more classes the numbers, and then the names, would overlap: colours alone remain.
MOST_WITH_NUMBERS = 20
MOST_WITH_NAMES = 60
# Names of at most this many classes are written horizontally.
FEW_CLASSES = 3
# Rows of the table of confused classes, which stands in for the matrix of many classes.
MOST_ROWS = 50
# Pixels: least side of a cell with its number, with its name, and without either; least side of the matrix; names.
WITH_NUMBER = 34
WITH_NAME = 13
PLAIN = 4
MATRIX = 200
NAMES = 120


@register_backbone_chart("confusion", "Confusion matrix")
def draw_confusion(data: BackboneData) -> list[Chart]:
    """Return the matrix of true and predicted classes; colours are shares of the true class."""
    counts = np.array(data.scores.confusion)
    size = len(data.classes)
    cell = WITH_NUMBER if size <= MOST_WITH_NUMBERS else WITH_NAME if size <= MOST_WITH_NAMES else PLAIN
    side = size * max(cell, MATRIX // size)
    right = int(np.trace(counts))
    cells = _list_cells(counts, data.classes)
    notes = ["The deeper a cell's colour, the larger its share of the true class."]
    if size <= MOST_WITH_NUMBERS:
        notes.insert(0, "Numbers are test images.")
    return [
        Chart(
            "Confusion matrix",
            f"Confusion matrix of {data.name}: {right:,} of {int(counts.sum()):,} test images on the diagonal.",
            _build_spec(cells, data.classes, side),
            _tabulate(counts, data.classes, cells),
            notes,
            least_width=NAMES + side if size <= MOST_WITH_NUMBERS else NAMES + WITH_NAME * min(size, MOST_WITH_NAMES),
            width=side,
        )
    ]


def _list_cells(counts: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Return one row a cell; cells of many classes are left out where they are 0.

    Args:
        counts: Numbers of images, shape (classes, classes), true classes as rows.
        classes: Class names by number.

    Returns:
        Columns `true`, `predicted`, `images` and `share` of the true class, 0 to 1.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = np.ones_like(counts, bool) if len(classes) <= MOST_WITH_NUMBERS else counts > 0
    rows, columns = np.nonzero(shown)
    names = np.array(classes, dtype=object)
    return pd.DataFrame(
        {"true": names[rows], "predicted": names[columns], "images": counts[shown], "share": shares[shown]}
    )


def _build_spec(cells: pd.DataFrame, classes: Sequence[str], side: int) -> dict[str, object]:
    named = len(classes) <= MOST_WITH_NAMES
    angle = 0 if len(classes) <= FEW_CLASSES else -40 if len(classes) <= MOST_WITH_NUMBERS else -90
    scale = alt.Scale(domain=list(classes))
    below = alt.Axis(labels=named, ticks=named, labelAngle=angle, labelLimit=NAMES, labelOverlap=False)
    left = alt.Axis(labels=named, ticks=named, labelLimit=NAMES, labelOverlap=False)
    base = alt.Chart(vega.make_data(cells)).encode(
        x=alt.X("predicted:N", sort=None, scale=scale, title="predicted", axis=below),
        y=alt.Y("true:N", sort=None, scale=scale, title="true", axis=left),
        tooltip=["true:N", "predicted:N", "images:Q", alt.Tooltip("share:Q", format=encodings.PERCENT)],
    )
    numbered = len(classes) <= MOST_WITH_NUMBERS
    # Up to half of the colour under numbers, so that they can be read on every cell.
    depths = [0, 0.5] if numbered else [0.08, 1]
    depth = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=depths), legend=None)
    layers = [base.mark_rect(style="matrix").encode(opacity=depth)]
    if numbered:
        layers.append(base.mark_text().encode(text=alt.Text("images:Q", format=",")))
    return vega.build_spec(*layers, height=side)


def _tabulate(counts: np.ndarray, classes: Sequence[str], cells: pd.DataFrame) -> Table:
    """Return the matrix, or the largest confusions of many classes."""
    if len(classes) <= MOST_WITH_NUMBERS:
        return Table(
            "Confusion matrix: true classes as rows",
            ["true \\ predicted", *classes],
            [[label, *(format_count(value) for value in line)] for label, line in zip(classes, counts, strict=True)],
        )
    wrong = cells[cells["true"] != cells["predicted"]].sort_values("images", ascending=False, kind="stable")
    rows = [
        [cell["true"], cell["predicted"], format_count(cell["images"]), format_percent(cell["share"])]
        for cell in wrong.head(MOST_ROWS).to_dict("records")
    ]
    return Table(
        f"The {len(rows)} largest confusions", ["true", "predicted", "images", "share of the class"], rows, words=2
    )
