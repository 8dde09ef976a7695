"""The comparison as a table for people: Markdown, a page, and the README's results."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unfreeze import rendering
from unfreeze.errors import UnfreezeError

TITLES = (
    "backbone", "weights", "unfrozen from", "rate", "accuracy", "gain", "balanced", "macro F1", "log-loss",
    "AUC", "parameters", "trained",
)  # fmt: skip


def summary(comparison: dict[str, Any]) -> str:
    """Return the result in a sentence or two."""
    best = comparison["rows"][0]
    text = (
        f"Best on {best['images']} test images of {comparison['data']} at {comparison['image_size']} pixels: "
        f"{best['backbone']}, accuracy {best['accuracy']:.4f} "
        f"(always naming the largest class: {best['majority']:.4f})."
    )
    if best["gain"] is not None and best["backbone"] != comparison["baseline"]:
        text += f" That is {100 * best['gain']:.1f} points above {comparison['baseline']}."
    if random := [row["backbone"] for row in comparison["rows"] if row["weights"] == "RANDOM"]:
        text += f" RANDOM weights, so no measure of transfer: {', '.join(random)}."
    return text


def cells(row: dict[str, Any]) -> list[str]:
    """Return one backbone's line as text."""
    gain = "" if row["gain"] is None else f"{100 * row['gain']:+.1f}"
    return [
        row["backbone"],
        row["weights"],
        row["unfreeze_from"],
        f"{row['learning_rate']:.1e}",
        f"{row['accuracy']:.4f}",
        gain,
        f"{row['balanced_accuracy']:.4f}",
        f"{row['macro_f1']:.4f}",
        f"{row['log_loss']:.4f}",
        f"{row['auc']:.4f}",
        f"{row['parameters']:,}",
        f"{row['trainable_parameters']:,}",
    ]


def table(comparison: dict[str, Any]) -> str:
    """Return the comparison as a Markdown table."""
    lines = [list(TITLES), ["---"] * len(TITLES), *(cells(row) for row in comparison["rows"])]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(comparison: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    return f"# {comparison['study']} on {comparison['data']}\n\n{summary(comparison)}\n\n{table(comparison)}\n"


def page(comparison: dict[str, Any], pictures: Mapping[str, Path], links: Mapping[str, str]) -> str:
    """Return the report as one HTML file that loads nothing.

    Args:
        comparison: The content of reports/comparison.json.
        pictures: PNG files by title.
        links: Addresses of other pages by title, relative to this one.
    """
    return rendering.page(
        "report.html.j2",
        comparison=comparison,
        summary=summary(comparison),
        titles=TITLES,
        rows=[cells(row) for row in comparison["rows"]],
        links=list(links.items()),
        pictures={title: base64.b64encode(path.read_bytes()).decode() for title, path in pictures.items()},
    )


def findings_table(checked: Sequence[Mapping[str, Any]]) -> str:
    """Return what the checks of single images found, as a Markdown table.

    Args:
        checked: Results of suites whose columns are checks, as in metrics/checks/.
    """
    rows = [
        f"| `{rule['column']}` | {rule['level']} | {rule['unexpected']:,} of {suite['rows']:,} |"
        for suite in checked
        for rule in suite["expectations"]
        if rule["unexpected"]
    ]
    return "\n".join(["| check | level | images |", "| --- | --- | --- |", *rows])


def readme_with_results(readme: str, comparison: dict[str, Any], checked: Sequence[Mapping[str, Any]]) -> str:
    """Return the README with its results and findings replaced.

    Args:
        readme: Its text.
        comparison: The content of reports/comparison.json.
        checked: Results of suites, as `findings_table` takes them.

    Raises:
        UnfreezeError: The README lacks one of the marks.
    """
    readme = _replaced(readme, "results", f"{summary(comparison)}\n\n{table(comparison)}")
    return _replaced(readme, "findings", findings_table(checked))


def _replaced(readme: str, name: str, text: str) -> str:
    marks = f"<!-- {name}: written by `make readme` -->", f"<!-- end of {name} -->"
    before, begin, rest = readme.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise UnfreezeError(f"README.md lacks {marks[0]!r} or {marks[1]!r}: put both where the {name} belong")
    return f"{before}{begin}\n{text}\n{end}{after}"
