"""A study made of literal numbers, as large and as odd as a test needs."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from unfreeze.figures.data import BackboneData, CostData, StudyData
from unfreeze.records.corrections import Corrections, Counts
from unfreeze.records.exported_model import Export, Exports, RecordedExports
from unfreeze.records.learning_curves import LearningCurve
from unfreeze.records.study_report import Expectation, ReportedVerdict, Suite
from unfreeze.records.test_scores import Evaluation
from unfreeze.records.trial import SearchResult
from unfreeze.report.study import Study

# What a name of a folder may hold, and a page must show as it is.
NASTY = "<script>alert(1)</script>|`*a*_b_ \"'& ]]> [red] :smile: 🐈"


def interval(value: float | None, half: float = 0.02) -> dict[str, float | None]:
    if value is None:
        return {"value": None, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def row(
    name: str,
    accuracy: float,
    *,
    classes: Sequence[str],
    images: int,
    weights: str = "imagenet",
    baseline: bool = False,
) -> dict[str, Any]:
    """Return a backbone's row of the verdict with every part filled."""
    each = images // len(classes)
    right = round(accuracy * each)
    wrong = each - right
    confusion = np.zeros((len(classes), len(classes)), int)
    for number in range(len(classes)):
        confusion[number, number] += right
        confusion[number, (number + 1) % len(classes)] += wrong
    recall = right / each
    return {
        "backbone": name,
        "weights": weights,
        "pretrained": not baseline,
        "unfreeze_from": "all" if baseline else "block14_sepconv1",
        "learning_rate": 1e-4,
        "chosen_by": "params" if baseline else "search",
        "scores": {
            "accuracy": interval(accuracy),
            "balanced_accuracy": interval(accuracy),
            "macro_f1": interval(accuracy - 0.01),
            "log_loss": interval(1 - accuracy),
            "auc": interval(min(1.0, accuracy + 0.02), 0.01),
            "calibration_error": interval(0.03, 0.01),
        },
        "gain": None if baseline else interval(accuracy - 0.75),
        "classes": {
            label: {
                "precision": interval(recall),
                "recall": interval(recall),
                "f1": interval(recall),
                "support": each,
            }
            for label in classes
        },
        "averages": {
            kind: {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": images} for kind in ("macro", "weighted")
        },
        "confusion": confusion.tolist(),
        "confused": [
            {"label": label, "predicted": classes[(number + 1) % len(classes)], "images": wrong, "share": 1 - recall}
            for number, label in enumerate(classes[:10])
        ],
        "calibration": {
            "temperature": 1.3,
            "calibration_error": 0.01,
            "log_loss": 0.09,
            "uncalibrated_error": 0.03,
            "uncalibrated_log_loss": 0.1,
        },
        "abstention": {
            "risk_area": (1 - accuracy) / 4,
            "lowest": 0.8,
            "error_rate": 0.05,
            "accepted": 0.85,
            "error": (1 - accuracy) / 2,
            "unsure": 0.14,
            "unlike": 0.01,
            "unlike_images": [
                {"kind": kind, "images": 60, "auroc": 0.99, "rejected": 0.95} for kind in ("text pages", "noise")
            ],
        },
        "cost": {
            "parameters": 20_865_578,
            "trainable_parameters": 4_746_000,
            "multiply_accumulates": 2_300_000_000,
            "size_mb": 83.5,
            "latency_ms": {"1": 20.0, "32": 416.0},
            "engine": "openvino",
            "training_seconds": 61.2,
        },
        "seeds": {
            "seeds": [0, 1, 2],
            "accuracies": [0.9, 0.91, 0.92],
            "mean": 0.91,
            "deviation": 0.01,
            "lowest": 0.9,
            "highest": 0.92,
        },
        "corruptions": [
            {
                "corruption": kind,
                "strength": strength,
                "accuracy": accuracy - 0.02 * strength * (1 + harder),
                "drop": interval(0.02 * strength),
            }
            for harder, kind in enumerate(("noise", "blur", "jpeg"))
            for strength in (1, 2, 3)
        ],
        "learning_curve": {
            "points": [
                {"images": size, "accuracy": accuracy - 4 / size, "low": accuracy - 8 / size, "high": accuracy}
                for size in (100, 200, 400, 800)
            ],
            "classes": {label: [{"images": 100, "recall": 0.7}] for label in classes},
            "gain_from_doubling": interval(0.01),
            "neediest_class": classes[0],
            "text": "Twice the images would bring about 1 point.",
        },
        "slices": [
            {
                "column": "module",
                "slice": "mono",
                "images": 200,
                "accuracy": interval(0.92),
                "rest": 0.9,
                "stands_out": False,
            },
            {
                "column": "module",
                "slice": "poly",
                "images": 100,
                "accuracy": interval(0.8),
                "rest": 0.93,
                "stands_out": True,
            },
        ],
    }


def verdict(
    accuracies: dict[str, float] | None = None,
    *,
    classes: Sequence[str] = ("cat", "dog"),
    images: int = 800,
    findings: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return a verdict on backbones as JSON, by default three of which one is the baseline."""
    accuracies = accuracies or {"xception": 0.96, "vgg16": 0.93, "from_scratch": 0.75}
    rows = [
        row(name, accuracy, classes=classes, images=images, baseline=name == "from_scratch")
        for name, accuracy in accuracies.items()
    ]
    rows.sort(key=lambda one: -one["scores"]["accuracy"]["value"])
    pairs = [
        {
            "first": first["backbone"],
            "second": second["backbone"],
            "difference": interval(first["scores"]["accuracy"]["value"] - second["scores"]["accuracy"]["value"]),
            "only_first": 30,
            "only_second": 10,
            "p_value": 0.002,
            "adjusted_p_value": 0.01,
            "significant": number < 2,
        }
        for number, (first, second) in enumerate(
            (first, second) for place, first in enumerate(rows) for second in rows[place + 1 :]
        )
    ]
    best = rows[0]["backbone"]
    return {
        "study": {
            "name": "six",
            "data": "cats and dogs",
            "image_size": 160,
            "baseline": "from_scratch",
            "pixels": "native",
        },
        "test_images": images,
        "classes": list(classes),
        "majority": 1 / len(classes),
        "rows": rows,
        "pairs": pairs,
        "smallest_difference": 0.02,
        "verdict": {"best": best, "as_good": [], "cheaper": [], "text": f"Take {best}: no other model is as good."},
        "findings": list(findings),
        "test_evaluations": {"models": 5, "earlier": 2},
    }


def read(of: dict[str, Any]) -> ReportedVerdict:
    """Return a verdict as it is read from its file."""
    return ReportedVerdict.model_validate(of)


def jpeg(seed: int, side: int = 16) -> bytes:
    """Return a small noisy picture."""
    noise = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG")
    return stream.getvalue()


def mistakes(classes: Sequence[str], count: int = 2, picture: bytes = b"") -> pd.DataFrame:
    """Return pictures of both kinds, each with a neighbour."""
    picture = picture or jpeg(0)
    near = {"id": "train/1.png", "label": classes[0], "distance": 0.2, "picture": picture}
    return pd.DataFrame(
        [
            {
                "kind": kind,
                "id": f"{classes[-1]}/{number}.png",
                "label": classes[-1],
                "predicted": classes[0],
                "probability": 0.98 - number / 100,
                "picture": picture,
                "heatmap": picture,
                "neighbours": [near] * 3,
            }
            for kind in ("mistake", "doubtful")
            for number in range(count)
        ]
    )


def histories(head: int, tuned: int) -> pd.DataFrame:
    """Return epochs of both phases."""
    steps = np.arange(1, head + tuned + 1)
    return pd.DataFrame(
        {
            "step": steps,
            "phase": ["head"] * head + ["finetune"] * tuned,
            "loss": 1 / steps,
            "accuracy": 1 - 0.4 / steps,
            "val_loss": 1.1 / steps,
            "val_accuracy": 1 - 0.5 / steps,
        }
    )


def trials() -> dict[str, Any]:
    """Return the content of metrics/search/<backbone>.json: three trials, of which one failed."""
    rows = [
        {
            "trial": number,
            "unfreeze_from": point,
            "unfreeze_point": point if isinstance(first, str) else first,
            "settings": {"learning_rate": 1e-4 * (number + 1)},
            "continues": None,
            "epochs": [],
            "failed": failed,
            **({} if failed else {"score": 0.5 - number / 10, "trainable_parameters": 10}),
        }
        for number, (point, first, failed) in enumerate(
            [("block14_sepconv1", 126, None), ("none", "none", "diverged"), ("block13_sepconv1", 117, None)]
        )
    ]
    return {"best": rows[2], "gain_over_configured": None, "trials": rows}


def backbone_data(row: dict[str, Any], of: dict[str, Any], head: int) -> BackboneData:
    """Return what charts show of one backbone: curves of made-up shape, and the scores of its row."""
    classes = of["classes"]
    along = np.linspace(0, 1, 200)
    drawn = classes[1:] if len(classes) == 2 else classes
    roc = [pd.DataFrame({"class": name, "fpr": along, "tpr": along**0.2}) for name in drawn]
    precision = [pd.DataFrame({"class": name, "recall": along, "precision": 1 - along**4 / 2}) for name in drawn]
    of_classes = {
        name: {
            **{score: (scores[score] or {}).get("value") for score in ("precision", "recall", "f1")},
            "support": scores["support"],
        }
        for name, scores in row["classes"].items()
    }
    values = {name: (score or {}).get("value") for name, score in row["scores"].items()}
    bins = {
        "low": [0.0, 0.5, 0.75],
        "high": [0.5, 0.75, 1.0],
        "images": [0, 100, 700],
        "confidence": [np.nan, 0.6, 0.9],
        "accuracy": [np.nan, 0.55, 0.85],
    }
    return BackboneData(
        name=row["backbone"],
        classes=tuple(classes),
        scores=Evaluation.model_validate(
            {
                **values, **row["averages"], "classes": of_classes, "confusion": row["confusion"],
                "calibration": row["calibration"], "abstention": row["abstention"], "corruptions": row["corruptions"],
                "seeds": {}, "images": of["test_images"],
                "majority": of["majority"], "size": row["cost"], "test_evaluations": [],
            }
        ),
        search=SearchResult.model_validate(trials()),
        learning_curve=row["learning_curve"] and LearningCurve.model_validate(row["learning_curve"]),
        history=histories(head, 12),
        roc=pd.concat(roc, ignore_index=True),
        precision_recall=pd.concat(precision, ignore_index=True),
        reliability=pd.DataFrame(bins),
        risk_coverage=pd.DataFrame({"coverage": along, "risk": along**3 / 5, "threshold": 1 - along / 2})[1:],
    )  # fmt: skip


def study_data(of: dict[str, Any] | None = None) -> StudyData:
    """Return what charts show of a study that has this verdict."""
    of = of or verdict()
    backbones = {
        row["backbone"]: backbone_data(row, of, 0 if row["backbone"] == "from_scratch" else 8 + place)
        for place, row in enumerate(of["rows"])
    }
    return StudyData(read(of), backbones)


def recorded(backbone: str, *formats: str, model: str = "a" * 64) -> RecordedExports:
    """Return the record of exports of a backbone, whose reported model has the digest `a` * 64."""
    rows = [
        Export(
            format=name,
            megabytes=20.5 + number,
            latency_ms=5.25,
            images_per_second=190.0,
            difference=2.5e-6,
            accuracy=0.95,
            p_value=0.75,
        )
        for number, name in enumerate(formats)
    ]
    return RecordedExports(Exports(backbone=backbone, model_sha256=model, formats=tuple(rows)), "a" * 64)


NO_CORRECTIONS = Corrections(counts=Counts(relabelled=0, excluded=0, kept=0, unfit=()), comparison=None)


def study(
    of: dict[str, Any] | None = None,
    *,
    pictures: pd.DataFrame | None = None,
    corrections: Corrections = NO_CORRECTIONS,
    exports: Sequence[RecordedExports] = (),
) -> Study:
    """Return a study with the tables that belong to a verdict."""
    of = of or verdict()
    charts = study_data(of)
    return Study(
        verdict=read(of),
        charts=CostData(charts, {row.backbone: row.cost for row in read(of).rows}),
        mistakes={name: mistakes(of["classes"]) if pictures is None else pictures for name in charts.backbones},
        checks=[
            Suite(
                suite="manifest",
                success=True,
                warnings=1,
                rows=4000,
                expectations=(
                    Expectation(column="blurry", rule="a", level="warning", success=False, unexpected=12),
                    Expectation(column="path", rule="b", level="error", success=True, unexpected=0),
                ),
            ),
        ],
        lineage={"commit": "0123abc", "data": "f" * 64},
        links={"What the checks found": "data.html", "Suspect labels": "suspects.html"},
        corrections=corrections,
        exports=exports,
    )
