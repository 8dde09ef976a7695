"""Charts of one backbone: confusion, reliability, corruptions and the learning curve."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from unfreeze.records.verdict import Row
from unfreeze.report import encodings, vega
from unfreeze.report.formats import NONE, count, decimal, percent
from unfreeze.report.parts import Chart, Table

# The matrix of more classes is no longer read; the table of the most confused pairs stands for it.
MOST_CLASSES = 20
# Names of so few stand side by side.
FEW_CLASSES = 3
# Pixels: the least side of a cell, the least height of the matrix, and the names beside it.
CELL = 34
MATRIX = 200
NAMES = 120


def confusion(row: Row, classes: Sequence[str]) -> Chart | None:
    """Return the confusion matrix; None for too many classes."""
    if len(classes) > MOST_CLASSES:
        return None
    counts = np.array(row.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = [
        {"is": label, "says": predicted, "images": int(counts[i, j]), "share": float(shares[i, j])}
        for i, label in enumerate(classes)
        for j, predicted in enumerate(classes)
    ]
    angle = 0 if len(classes) <= FEW_CLASSES else -40
    base = alt.Chart(vega.data(pd.DataFrame(cells))).encode(
        x=alt.X(
            "says:N",
            sort=list(classes),
            title="model says",
            axis=alt.Axis(labelAngle=angle, labelLimit=NAMES, labelOverlap=False),
        ),
        y=alt.Y("is:N", sort=list(classes), title="picture is", axis=alt.Axis(labelLimit=NAMES)),
        tooltip=["is:N", "says:N", "images:Q", alt.Tooltip("share:Q", format=encodings.PERCENT)],
    )
    # Up to half of the colour, so that the numbers can be read on every cell.
    depth = alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0, 0.5]), legend=None)
    layers = (
        base.mark_rect(style="matrix").encode(opacity=depth),
        base.mark_text().encode(text=alt.Text("images:Q", format=",")),
    )
    right = int(np.trace(counts))
    return Chart(
        "Confusion matrix",
        f"Confusion matrix of {row.backbone}: {right:,} of {int(counts.sum()):,} test images on the diagonal.",
        vega.specification(*layers, height=len(classes) * max(CELL, MATRIX // len(classes))),
        Table(
            "Confusion matrix: true classes as rows",
            ["is \\ says", *classes],
            [[label, *(count(value) for value in line)] for label, line in zip(classes, counts, strict=True)],
        ),
        ["Numbers are test images; the deeper a cell's colour, the larger its share of the true class."],
        least_width=NAMES + CELL * len(classes),
    )


def reliability(row: Row, bins: pd.DataFrame) -> Chart:
    """Return accuracy against confidence.

    Args:
        row: The backbone's row of the verdict.
        bins: Columns low, high, images, confidence and accuracy; the last two missing where there are no images.
    """
    filled = bins[bins["images"] > 0]
    of = row.calibration
    errors = (
        f"Calibration error {decimal(of.calibration_error)}, after dividing by temperature "
        f"{decimal(of.temperature)} it is {decimal(of.calibrated_error)}."
    )
    position = {
        "x": encodings.share("confidence", "mean confidence", whole=True, axis=alt.X),
        "y": encodings.share("accuracy", "accuracy", whole=True),
    }
    base = alt.Chart(vega.data(filled)).encode(**position)
    diagonal = alt.Chart(vega.data(pd.DataFrame({"x": [0, 1], "y": [0, 1]})))
    size = alt.Size("images:Q", scale=alt.Scale(range=[20, 400]), legend=None)
    told = ["images:Q", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("confidence", "accuracy"))]
    layers = (
        diagonal.mark_line(style="guide").encode(x="x:Q", y="y:Q"),
        base.mark_line(style="only", strokeWidth=1.5),
        base.mark_point(style="only", filled=True, opacity=0.75).encode(size=size, tooltip=told),
    )
    rows = [
        [
            f"{percent(bin_['low'])} to {percent(bin_['high'])}",
            count(bin_["images"]),
            *(percent(bin_[name]) if bin_["images"] else NONE for name in ("confidence", "accuracy")),
        ]
        for bin_ in bins.to_dict("records")
    ]
    return Chart(
        "Reliability",
        f"Accuracy against confidence of {row.backbone}. {errors}",
        vega.specification(*layers, height=300),
        Table("Reliability by bin of confidence", ["confidence", "images", "mean confidence", "accuracy"], rows),
        [
            errors,
            "Dashed: probabilities that are as right as they say. Below it the model is too sure.",
            "The larger a point, the more images.",
        ],
    )


def corruptions(row: Row) -> Chart | None:
    """Return the accuracy on corrupted test images; None where none were made."""
    measured = row.corruptions
    if not measured:
        return None
    # The drop is counted on the images that were spoilt, which are some of the test fold only.
    clean = measured[0].accuracy + measured[0].drop.value
    kinds = list(dict.fromkeys(point.corruption for point in measured))
    points = [{"corruption": kind, "strength": 0, "accuracy": clean} for kind in kinds]
    points += [point.model_dump(include={"corruption", "strength", "accuracy"}) for point in measured]
    frame = pd.DataFrame(points)
    looks = encodings.of_names("corruption", kinds, "corruption")
    base = alt.Chart(vega.data(frame)).encode(
        x=alt.X("strength:Q", title="strength, 0: as it is", axis=alt.Axis(tickMinStep=1, format="d")),
        y=encodings.share("accuracy", "accuracy"),
        color=looks["color"],
    )
    told = ["corruption:N", "strength:Q", alt.Tooltip("accuracy:Q", format=".1%")]
    layers = (
        base.mark_line(strokeWidth=1.75),
        base.mark_point(filled=True, size=60, opacity=1).encode(shape=looks["shape"], tooltip=told),
    )
    worst = min(measured, key=lambda point: point.accuracy)
    by_strength = frame.pivot(index="corruption", columns="strength", values="accuracy").loc[kinds]
    return Chart(
        "Corrupted images",
        f"Accuracy of {row.backbone} on corrupted images: worst {percent(worst.accuracy)} with "
        f"{worst.corruption} of strength {worst.strength}, {percent(clean)} on images as they are.",
        vega.specification(*layers, height=280),
        Table(
            "Accuracy by corruption and strength",
            ["corruption", *(f"strength {strength}" for strength in by_strength.columns)],
            [
                [kind, *(NONE if pd.isna(value) else percent(value) for value in line)]
                for kind, line in zip(by_strength.index, by_strength.to_numpy(), strict=True)
            ],
        ),
    )


def learning_curve(row: Row) -> Chart | None:
    """Return the accuracy of a probe by the number of training images; None where it was not measured."""
    curve = row.learning_curve
    if curve is None or not curve.points:
        return None
    points = [dict(point) for point in curve.points]
    base = alt.Chart(vega.data(pd.DataFrame(points))).encode(
        x=alt.X("images:Q", title="training images", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
        y=encodings.share("accuracy", "accuracy, validation fold"),
    )
    band = base.mark_area(style="band").encode(
        y=alt.Y("low:Q", title="accuracy, validation fold", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    told = ["images:Q", *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("accuracy", "low", "high"))]
    marks = base.mark_point(style="only", filled=True, size=60, opacity=1).encode(tooltip=told)
    layers = (band, base.mark_line(style="only", strokeWidth=1.75), marks)
    rows = [
        [count(point["images"]), *(percent(point[name]) for name in ("accuracy", "low", "high"))] for point in points
    ]
    return Chart(
        "Learning curve",
        f"Accuracy of a probe on features of {row.backbone} by the number of training images. {curve.text}",
        vega.specification(*layers, height=260),
        Table("Learning curve with 95 % intervals", ["training images", "accuracy", "from", "to"], rows),
        [curve.text],
    )
