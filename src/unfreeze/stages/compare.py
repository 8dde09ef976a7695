"""Put all backbones of the study into one table and one page."""

from typing import Any

import pandas as pd

from unfreeze import console, files, plots, tracking
from unfreeze.params import Params
from unfreeze.paths import Paths
from unfreeze.report import page, text

PARAMS = ("study", "data", "preprocess", "tracking")


def comparison_row(paths: Paths, backbone: str) -> dict[str, Any]:
    """Return one backbone's line of the comparison, from its metrics."""
    weights = files.read_json(paths.weights_record(backbone))
    training = files.read_json(paths.training(backbone))
    scores = files.read_json(paths.evaluation(backbone))
    return {
        "backbone": backbone,
        "weights": weights["source"],
        "pretrained": weights["pretrained"],
        "unfreeze_from": training["unfreeze_from"],
        "learning_rate": training["learning_rate"],
        "parameters": weights["parameters"] + training["head_parameters"],
        "trainable_parameters": training["trainable_parameters"],
        "images": scores["images"],
        "accuracy": scores["accuracy"],
        "balanced_accuracy": scores["balanced_accuracy"],
        "macro_f1": scores["macro"]["f1"],
        "log_loss": scores["log_loss"],
        "auc": scores["auc"],
        "majority": scores["majority"],
    }


def with_gain(rows: list[dict[str, Any]], baseline: str) -> list[dict[str, Any]]:
    """Sort by accuracy, best first, and add the gain over the baseline (None where it is not in the study)."""
    floor = next((row["accuracy"] for row in rows if row["backbone"] == baseline), None)
    gained = [{**row, "gain": None if floor is None else row["accuracy"] - floor} for row in rows]
    return sorted(gained, key=lambda row: (-row["accuracy"], row["trainable_parameters"], row["backbone"]))


def run(params: Params, paths: Paths) -> None:
    """Write reports/ and complete the study's run in MLflow."""
    names = list(params.study.backbones)
    rows = with_gain([comparison_row(paths, name) for name in names], params.study.baseline)
    comparison = {
        "study": params.study.name,
        "data": params.data.name,
        "image_size": params.preprocess.image_size,
        "baseline": params.study.baseline,
        "rows": rows,
    }
    plots.training_curves({name: pd.read_csv(paths.history(name)) for name in names}, paths.curves_picture)
    files.write_json(paths.comparison, comparison)
    files.write_text(paths.report_markdown, text.markdown(comparison))
    pictures = {"all backbones": paths.curves_picture}
    for name in names:
        pictures[f"{name}: curves"] = paths.history_picture(name)
        pictures[f"{name}: confusion matrix"] = paths.confusion_picture(name)
    links = {"What the checks found": paths.findings_page.name, "Suspect labels": paths.suspects_page.name}
    files.write_text(paths.report_html, page.page(comparison, pictures, links))
    tracking.Ledger(paths, params.tracking.experiment).log_study(names)
    console.log.info(
        "best: %s, accuracy %.4f; the report is %s, `make ui` shows the runs",
        rows[0]["backbone"], rows[0]["accuracy"], paths.report_html.relative_to(paths.root),
    )  # fmt: skip
