"""What corrections of labels changed, as sentences and a table, for the page and Markdown."""

from unfreeze.figures.formats import format_count, format_interval, format_percent, format_points, format_probability
from unfreeze.figures.parts import Cell, Table
from unfreeze.records.corrections import Comparison, Corrections, describe_counts


def describe_corrections(of: Corrections) -> list[str]:
    """Return sentences on what was corrected and what that changed; none where there is no correction.

    Args:
        of: The content of metrics/corrections.json.
    """
    counts = of.counts
    if counts.is_empty:
        return []
    sentences = [f"{describe_counts(counts)}."]
    if counts.unfit:
        sentences.append(f"No longer fit: {'; '.join(counts.unfit)}.")
    if of.comparison:
        sentences += _describe_comparison(of.comparison)
    elif counts.relabelled or counts.excluded:
        sentences.append(
            "What they changed cannot be told: no study of this source without them, or with fewer, is known here. "
            "To make one, run `dvc repro` with an empty list in checks/corrections.csv, then again with all of it."
        )
    return sentences


def _describe_comparison(of: Comparison) -> list[str]:
    before = (
        f"{format_count(of.earlier_corrections)} corrected images" if of.earlier_corrections else "no corrections"
    )
    if not of.images:
        return [f"The study before, with {before}, had no image in its test fold that is in this one."]
    if not of.effects:
        return [f"The study before, with {before}, had none of these backbones."]
    sentences = [
        f"Compared with the study before, which had {before}, on the {format_count(of.images)} images in both "
        f"test folds, by the labels of now; {format_count(of.relabelled)} of these had another label then."
    ]
    if not of.same_settings:
        sentences.append("Settings or training code changed as well, so the corrections are not the only reason.")
    return sentences


def tabulate_effects(of: Corrections) -> Table:
    """Return each backbone's accuracy before and after the corrections, on the same test images."""
    lines: list[list[Cell | str]] = [
        [
            effect.backbone,
            format_percent(effect.earlier_by_old_labels),
            format_percent(effect.earlier),
            format_percent(effect.now),
            format_interval(effect.difference, format_points),
            format_probability(effect.p_value),
        ]
        for effect in (of.comparison.effects if of.comparison else ())
    ]
    header = [
        "backbone", "before, by the labels of then", "before, by the labels of now", "now", "difference, points",
        "p-value",
    ]  # fmt: skip
    return Table("Accuracy before and after the corrections, with paired 95 % intervals", header, lines)
