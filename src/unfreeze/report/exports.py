"""The exported formats of a study's models as sentences and a table, for the page and Markdown."""

from collections.abc import Sequence

from unfreeze.figures.formats import format_count, format_digits, format_percent, format_probability
from unfreeze.figures.parts import Cell, Table
from unfreeze.records.exported_model import RecordedExports

# Digits of a digest that people compare.
DIGITS = 12


def describe_exports(of: Sequence[RecordedExports]) -> list[str]:
    """Return sentences on how the formats were measured, and which are not shown; none where nothing was exported.

    Args:
        of: The records of the study's backbones.
    """
    sentences = []
    if any(one.is_current for one in of):
        sentences.append(
            "Measured by `unfreeze export` on the machine that exported. Difference: the largest between two "
            "probabilities and those of the .keras file. Accuracy: on the validation fold; p-value: the exact "
            "McNemar test against the packed model."
        )
    sentences += [
        f"The exports recorded for {one.exports.backbone} are of another model "
        f"(sha256 {one.exports.model_sha256[:DIGITS]}, the reported one is {one.reported_sha256[:DIGITS]}) and are "
        f"not shown: run `unfreeze export {one.exports.backbone}` again."
        for one in of
        if not one.is_current
    ]
    return sentences


def tabulate_exports(of: Sequence[RecordedExports]) -> Table:
    """Return size, speed and fidelity of each format that was exported from a reported model.

    Args:
        of: The records of the study's backbones.
    """
    lines: list[list[Cell | str]] = [
        [
            one.exports.backbone,
            row.format,
            format_digits(row.megabytes),
            format_digits(row.latency_ms),
            format_count(row.images_per_second),
            f"{row.difference:.2g}",
            format_percent(row.accuracy),
            format_probability(row.p_value),
        ]
        for one in of
        if one.is_current
        for row in one.exports.formats
    ]
    header = ["backbone", "format", "MB", "ms an image", "images a second", "difference", "accuracy", "p, McNemar"]
    return Table("Exported formats", header, lines, words=2)
