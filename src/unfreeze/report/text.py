"""The comparison as text: a sentence, a Markdown table, and the report in Markdown."""

from typing import Any

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
