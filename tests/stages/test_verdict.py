"""The verdict and the report of studies that are made up here, file by file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import PROJECT
from tests.report import conftest as reported
from tests.trackers import NoTracker
from unfreeze import files
from unfreeze.checks import gate
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import calibration, scores, selective
from unfreeze.images import jpeg
from unfreeze.paths import Paths
from unfreeze.records import study_report, test_evaluations
from unfreeze.records.corrections import Corrections, Counts
from unfreeze.records.costs import TrainingCost
from unfreeze.records.interval import Interval
from unfreeze.records.test_evaluations import ScoredModel
from unfreeze.records.verdict import Pair, Row
from unfreeze.report import write
from unfreeze.settings.checks import Check
from unfreeze.settings.params import load
from unfreeze.settings.stage_settings import select
from unfreeze.stages import figures, report, verdict
from unfreeze.stages.evaluate import measure_calibration, tabulate_predictions


def made_up(
    root: Path,
    backbones: Sequence[str],
    labels: np.ndarray,
    classes: list[str],
    *,
    skill: Sequence[float],
    shown: int = 1,
) -> Paths:
    """Write what the stages before leave of models that are right as often as their skill says."""
    paths = Paths(root)
    random = np.random.default_rng(0)
    ids = [f"{number:05}.png" for number in range(len(labels))]
    files.write_text(paths.params, (PROJECT / "params.yaml").read_text())
    none = Counts(relabelled=0, excluded=0, kept=0, unfit=())
    Corrections(counts=none, comparison=None).write(paths.correction_effects)
    paths.manifest.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(
        {
            "path": ids, "label": np.array(classes)[labels], "format": "PNG", "mode": "RGB",
            "width": 100, "height": 100, "brightness": random.uniform(0, 255, len(ids)),
            "sharpness": 100.0, "entropy": 7.0, "verdict": "ok", "cluster": range(len(ids)),
        }
    ).to_parquet(paths.manifest)  # fmt: skip
    passed = {"success": True, "warnings": 0, "rows": len(ids), "expectations": []}
    of_backbones = [f"{suite}_{name}" for suite in write.OF_BACKBONES for name in backbones]
    for suite in (*gate.SUITES, *of_backbones):
        files.write_json(paths.checks(suite), passed)
    for backbone, share in zip(backbones, skill, strict=True):
        right = random.random(len(labels)) < share
        said = np.where(right, labels, (labels + 1) % len(classes))
        probabilities = np.full((len(labels), len(classes)), 0.2 / max(len(classes) - 1, 1))
        probabilities[np.arange(len(labels)), said] = 0.8
        result = scores.score(labels, probabilities, classes).to_json()
        result |= {
            "majority": float(np.bincount(labels).max() / len(labels)),
            "calibration": measure_calibration(labels, probabilities, 1.0).to_json(),
            "abstention": reported.row("", 0.9, classes=classes, images=len(labels))["abstention"],
            "corruptions": [],
            "seeds": {},
            "size": {"parameters": 10, "multiply_accumulates": 100, "size_mb": 1.0},
            "test_evaluations": [{"model": backbone, "fold": "f", "backbone": backbone}],
        }
        files.write_json(paths.evaluation(backbone), result)
        files.write_csv(paths.predictions(backbone), tabulate_predictions(ids, labels, probabilities, classes))
        files.write_csv(paths.roc(backbone), scores.compute_roc(labels, probabilities, classes))
        files.write_csv(
            paths.precision_recall(backbone), scores.compute_precision_recall(labels, probabilities, classes)
        )
        files.write_csv(paths.reliability(backbone), calibration.compute_reliability(labels, probabilities))
        files.write_csv(
            paths.risk_coverage(backbone),
            selective.compute_risk_coverage(probabilities.max(axis=1), said == labels),
        )
        files.write_csv(
            paths.history(backbone),
            pd.DataFrame(
                {
                    "step": [1, 2], "phase": ["head", "fine-tuning"], "loss": [0.7, 0.5], "accuracy": [0.6, 0.7],
                    "val_loss": [0.7, 0.6], "val_accuracy": [0.6, 0.7],
                }
            ),
        )  # fmt: skip
        files.write_json(
            paths.weights_record(backbone),
            {"source": "imagenet", "pretrained": True, "parameters": 9, "sha256": "0" * 64},
        )
        files.write_json(
            paths.training(backbone),
            {
                "unfreeze_from": "all", "learning_rate": 1e-3, "chosen_by": "params", "trainable_parameters": 9,
                "head_parameters": 1, "epochs": 2, "fine_tuning_improved": True, "val_loss": 0.1, "temperature": 1.0,
                "model_sha256": "0" * 64,
            },
        )  # fmt: skip
        files.write_json(paths.search(backbone), {"best": None, "gain_over_configured": None, "trials": []})
        files.write_json(paths.training_time(backbone), {"seconds": 1.0})
        files.write_json(paths.learning_curve(backbone), None)
        files.write_json(paths.selftest(backbone), {"scaling_error": 0.0, "fed": "what it was trained on"})
        files.write_json(
            paths.cost(backbone),
            {"engine": "openvino", "latency_ms": {"1": 1.0, "32": 20.0}},
        )
        noise = [jpeg.encode(random.integers(0, 256, (160, 160, 3)).astype("uint8"), side=side) for side in (160, 96)]
        neighbours = [{"id": ids[0], "label": classes[labels[0]], "distance": 0.1, "picture": noise[1]}] * 3
        paths.mistakes(backbone).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(
            {
                "kind": ["mistake"] * shown + ["doubtful"] * shown, "id": ids[: 2 * shown],
                "label": np.array(classes)[labels[: 2 * shown]], "predicted": np.array(classes)[labels[: 2 * shown]],
                "probability": 0.9, "picture": [noise[0]] * 2 * shown, "heatmap": [noise[0]] * 2 * shown,
                "neighbours": [neighbours] * 2 * shown,
            }
        ).to_parquet(paths.mistakes(backbone))  # fmt: skip
    return paths


def judged(
    paths: Paths, backbones: Sequence[str], *, below_majority: str = "warning", draws: bool = False
) -> dict[str, Any]:
    """Run the verdict, the figures if they are wanted, and the report, and return what machines get."""
    whole = load(paths.params)
    levels = {"below_majority": Check(level=below_majority), "one_class": Check(level="warning")}
    changed = {
        "study": whole.study.model_copy(update={"backbones": tuple(backbones)}),
        "checks": whole.checks.model_copy(update=levels),
    }
    whole = whole.model_copy(update=changed)
    verdict.run(select(whole, verdict.Settings), paths)
    if draws:
        figures.run(select(whole, figures.Settings), paths)
    report.run(select(whole, report.Settings), paths, NoTracker(), write.write_reports)
    return study_report.read(paths).to_json()


def test_the_best_comes_first_with_its_gain_and_its_equals(tmp_path: Path) -> None:
    names = ["from_scratch", "vgg16", "xception"]
    labels = np.arange(800) % 2
    paths = made_up(tmp_path, names, labels, ["cat", "dog"], skill=[0.7, 0.94, 0.95])
    told = judged(paths, names)
    assert [row["backbone"] for row in told["rows"]] == ["xception", "vgg16", "from_scratch"]
    best, _, baseline = told["rows"]
    assert best["gain"]["value"] == pytest.approx(
        best["scores"]["accuracy"]["value"] - baseline["scores"]["accuracy"]["value"]
    )
    assert best["gain"]["low"] > 0.15
    assert baseline["gain"] is None
    assert told["verdict"]["best"] == "xception"
    assert told["verdict"]["as_good"] == ["vgg16"]
    assert len(told["pairs"]) == 3
    assert told["test_evaluations"] == {"models": 3, "earlier": 0}
    assert told["findings"] == []


def test_neither_times_nor_uses_of_the_test_fold_change_the_verdict(tmp_path: Path) -> None:
    names = ["from_scratch", "xception"]
    paths = made_up(tmp_path, names, np.arange(80) % 2, ["cat", "dog"], skill=[0.7, 0.9])
    judged(paths, names)
    before = paths.verdict.read_bytes()
    for name in names:
        files.write_json(paths.training_time(name), {"seconds": 99.0})
        files.write_json(paths.cost(name), {"engine": "keras", "latency_ms": {"1": 99.0}})
    another = ScoredModel(model="another", fold="f", backbone="xception")
    test_evaluations.record(paths, [another])
    told = judged(paths, names)
    assert paths.verdict.read_bytes() == before
    assert told["rows"][0]["cost"]["latency_ms"] == {"1": 99.0}
    assert told["rows"][0]["cost"]["training_seconds"] == 99.0
    assert told["test_evaluations"] == {"models": 3, "earlier": 1}


def test_the_report_shows_the_exports_of_its_own_models(tmp_path: Path) -> None:
    names = ["from_scratch", "xception"]
    paths = made_up(tmp_path, names, np.arange(80) % 2, ["cat", "dog"], skill=[0.7, 0.9])
    # `made_up` gives a model its backbone's name as its digest.
    for name, digest in (("xception", "xception"), ("from_scratch", "another")):
        row = {
            "format": "onnx", "megabytes": 1.5, "latency_ms": 2.0, "images_per_second": 900.0, "difference": 1e-7,
            "accuracy": 0.9, "p_value": 1.0,
        }  # fmt: skip
        files.write_json(paths.exports(name), {"backbone": name, "model_sha256": digest, "formats": [row]})
    judged(paths, names)
    written = paths.report_markdown.read_text()
    assert "| xception | onnx | 1.5 | 2 | 900 | 1e-07 | 90.0 % | 1.000 |" in written
    assert "The exports recorded for from_scratch are of another model" in written
    assert 'id="exports"' in paths.report_html.read_text()
    assert "../metrics/export/xception.json" in files.read_json(paths.report_json)["links"].values()


def test_a_score_on_copies_of_training_images_is_reported_with_the_score_without_them(tmp_path: Path) -> None:
    names = ["from_scratch", "xception"]
    paths = made_up(tmp_path, names, np.arange(80) % 2, ["cat", "dog"], skill=[0.7, 0.9])
    rows = pd.read_parquet(paths.manifest)
    trained = rows.head(20).assign(path=[f"training/{number}.png" for number in range(20)])
    pd.concat([rows, trained]).to_parquet(paths.manifest)
    told = judged(paths, names)
    assert [finding["check"] for finding in told["findings"]] == ["copies_across_folds"] * 2
    best = told["rows"][0]
    correct = pd.read_csv(paths.predictions(best["backbone"]))["correct"]
    assert best["leak"]["images"] == 20
    assert best["leak"]["accuracy_without"]["value"] == pytest.approx(correct[20:].mean())
    for text in (paths.report_markdown.read_text(), paths.report_html.read_text()):
        assert "20 of 80 test images have copies in other folds" in text


def test_a_finding_that_is_an_error_ends_the_run_once_the_report_is_there(tmp_path: Path) -> None:
    names = ["vgg16", "from_scratch"]
    paths = made_up(tmp_path, names, np.arange(80) % 2, ["cat", "dog"], skill=[0.2, 0.9])
    with pytest.raises(UnfreezeError, match="vgg16: the model is below the share.*The report is"):
        judged(paths, names, below_majority="error")
    assert paths.report_html.exists()


def row(name: str, accuracy: float, *, trained: int = 1) -> Row:
    return Row.model_construct(
        backbone=name,
        scores={"accuracy": Interval(value=accuracy, low=accuracy, high=accuracy)},
        cost=TrainingCost.model_construct(trainable_parameters=trained),
    )


def test_a_tie_goes_to_fewer_trained_parameters() -> None:
    ranked = verdict.add_gains([row("large", 0.9, trained=10), row("small", 0.9, trained=5)], [], "from_scratch")
    assert [one.backbone for one in ranked] == ["small", "large"]
    assert [one.gain for one in ranked] == [None, None]


def test_the_gain_counts_from_the_baseline_whichever_way_the_pair_stands() -> None:
    difference = Interval(value=-0.2, low=-0.3, high=-0.1)
    pair = Pair.model_construct(first="base", second="better", difference=difference)
    better, base = verdict.add_gains([row("base", 0.7), row("better", 0.9)], [pair], "base")
    assert better.gain == Interval(value=0.2, low=0.1, high=0.3)
    assert base.gain is None


@pytest.mark.parametrize(("accuracies", "spread"), [({}, None), ({"1": 0.8, "2": 0.7}, (0.8, 0.1, 0.7, 0.9))])
def test_seeds_have_a_spread(accuracies: dict[str, float], spread: tuple[float, ...] | None) -> None:
    found = verdict.measure_spread(0, 0.9, accuracies)
    if spread is None:
        assert found is None
    else:
        assert found is not None
        assert found.seeds == (0, 1, 2)
        assert (found.mean, found.deviation, found.lowest, found.highest) == pytest.approx(spread)


NASTY = ["<script>alert(1)</script>", "$\\frac{$ & 🐱\"'", "[red]NA[/red]|`x`"]


@pytest.mark.parametrize(
    ("labels", "classes", "skill"),
    [
        (np.arange(90) % 2, ["cat", "dog", "fox"], 0.8),
        (np.arange(3), ["cat", "dog", "fox"], 0.7),
        (np.arange(120) % 60, [f"class {number:03}" for number in range(60)], 0.8),
        (np.arange(60) % 2, ["cat", "dog"], 1.0),
        (np.arange(60) % 2, ["cat", "dog"], 0.0),
        (np.arange(90) % 3, NASTY, 0.8),
        (np.arange(60) % 2, ["007", "NA"], 0.8),
    ],
    ids=["a class is missing", "one image a class", "60 classes", "perfect", "never right", "nasty names", "NA"],
)
def test_odd_studies_get_a_page(tmp_path: Path, labels: np.ndarray, classes: list[str], skill: float) -> None:
    names = ["xception", "from_scratch"]
    told = judged(made_up(tmp_path, names, labels, classes, skill=[skill, 0.5]), names, draws=True)
    assert told["classes"] == classes
    row = next(row for row in told["rows"] if row["backbone"] == "xception")
    accuracy = row["scores"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert accuracy["low"] < accuracy["high"]
    there = {classes[number] for number in labels}
    assert {name for name, values in row["classes"].items() if values["recall"] is None} == (set(classes) - there)
    page = Paths(tmp_path).report_html.read_text()
    assert "<script>alert" not in page


def test_six_backbones_and_three_thousand_images_make_a_small_page(tmp_path: Path) -> None:
    names = ["efficientnetb0", "inceptionv3", "inceptionresnetv2", "resnet50", "vgg16", "xception"]
    labels = np.arange(3_000) % 2
    paths = made_up(tmp_path, names, labels, ["cat", "dog"], skill=[0.5, 0.88, 0.96, 0.62, 0.93, 0.95], shown=12)
    judged(paths, names)
    # Of noise, which JPEG cannot make smaller: photographs take a third.
    assert paths.report_html.stat().st_size < 30e6
