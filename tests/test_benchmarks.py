"""The benchmarks' own arithmetic, and one small run of each way."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import pytest
from benchmarks import growth, inputs, limits, measure, pages, paper, quick, report, search
from PIL import Image

from tests.conftest import PROJECT, fill_with_images

RUN = {
    "commit": "abc",
    "seconds": 200.0,
    "peak_mb": 1500.0,
    "epoch_seconds": 12.0,
    "stages": {"check": 10.0, "extract": 80.0, "finetune": 70.0, "evaluate": 30.0},
    "accuracy": 0.98,
    "test_images": 800,
}
RUNS = {
    "builder": "Xception",
    "point": "block14_sepconv1",
    "floor": 6,
    "ours": [RUN, RUN | {"seconds": 220.0}, RUN | {"seconds": 190.0}],
    "guide": [RUN | {"seconds": seconds, "epoch_seconds": 144.0, "accuracy": 0.97} for seconds in (1400, 1300, 1200)],
}
LIMITS = {
    "macs": {"prefix": 2_000_000_000, "suffix": 100_000_000},
    "images_per_second": {"keras predict": 20.0, "engine in memory": 50.0, "extraction": 45.0},
    "trainer_images_per_second": 250.0,
    "preprocess_seconds": {"this pipeline": 1.0, "Keras, bicubic": 2.0, "Keras, bilinear": 1.5},
    "layouts": [{"layout": "contiguous", "mb": 78.6, "in_order": 1e5, "shuffled": 7e4}],
}


def test_medians_ratios_and_the_interval() -> None:
    case = report.summary("xception float32", RUNS, None)
    assert case["ratio"] == 1300 / 200
    assert case["epoch_ratio"] == 12
    assert case["difference"] == pytest.approx(0.01)
    # sqrt(0.98 * 0.02 / 800 + 0.97 * 0.03 / 800) = 0.00780
    assert case["interval"] == pytest.approx(1.96 * 0.00780, abs=1e-4)
    assert "bound" not in case


def test_the_bound_counts_what_is_left_to_do() -> None:
    table = {row["stage"]: row for row in report.bound(LIMITS, 4000, RUNS["ours"])}
    # 3,200 images at 50 a second.
    assert table["extract"]["bound"] == pytest.approx(64)
    # The head's features: 3,200 suffixes at the engine's 1e11 a second. Five epochs of 2,400 training images at
    # 250 a second and 800 validation images at three times that.
    assert table["finetune"]["bound"] == pytest.approx(3.2 + 5 * (9.6 + 800 / 750))
    assert table["evaluate"]["bound"] == pytest.approx(800 * 2.1e9 / 1e11)
    assert table["check"]["bound"] is None
    assert table["all"]["taken"] == 200


def test_the_seconds_of_a_run_are_divided_among_starts_work_and_dvc() -> None:
    parts = {
        "check": {"start": 1.0, "work": 6.0, "processor": 12.0},
        "extract": {"start": 3.0, "work": 70.0, "processor": 140.0},
    }
    stages = {"check": 10.0, "extract": 80.0}
    run = RUN | {"stages": stages, "seconds": 95.0, "processor_seconds": 160.0, "parts": parts}
    rows = {row.pop("stage"): row for row in report.divide_seconds([run, run])}
    assert rows == {
        "check": {"start": 1, "work": 6, "dvc": 3, "processor": 12},
        "extract": {"start": 3, "work": 70, "dvc": 7, "processor": 140},
        "before the first": {"start": 0, "work": 0, "dvc": 5, "processor": None},
        "all": {"start": 4, "work": 76, "dvc": 15, "processor": 160},
    }


def test_the_page_shows_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "PAGE", tmp_path / "results.md")
    (tmp_path / "results.md.j2").write_text((PROJECT / "benchmarks/results.md.j2").read_text())
    machine = {"processor": "one, 2 cores", "system": "Linux", "packages": "keras 3"}
    rows = [{"images": n, "seconds": 50 + n / 20, "peak_mb": 1000 + n / 100} for n in growth.COUNTS]
    results: dict[str, Any] = {"images": "cats", "machine": machine, "runs": {"xception float32": RUNS}}
    other: dict[str, Any] = {**results, "machine": machine | {"processor": "two, 4 cores"}, "runs": {}}
    report.write(
        [
            {**results, "limits": {"xception float32": LIMITS}, "growth": {"title": "x", "rows": rows}},
            {**other, "limits": {}, "growth": {}},
        ]
    )
    text = (tmp_path / "results.md").read_text()
    assert "| xception float32 | block14_sepconv1 | 3 | 1300 | 200 | 6.5 | 6 |" in text
    assert re.findall("^## (.*)", text, re.MULTILINE) == ["one, 2 cores", "two, 4 cores"]
    assert "| extraction / `predict` | 2.25 | 2 |" in text
    assert "Time is 50 s and 50.0 ms an image; no run leaves that line by more than 0 %." in text
    assert "1.24 times the memory" in text


def test_the_committed_page_is_that_of_the_committed_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAGE", tmp_path / "results.md")
    (tmp_path / "results.md.j2").write_text((PROJECT / "benchmarks/results.md.j2").read_text())
    report.write(list(json.loads((PROJECT / "benchmarks/results.json").read_text()).values()))
    assert (tmp_path / "results.md").read_text() == (PROJECT / "benchmarks/results.md").read_text()


def test_measurements_of_another_kind_of_processor_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, given = tmp_path / "results.json", inputs.Inputs("cats", tmp_path, tmp_path, [], [])
    here = {"processor": "one, 2 cores", "system": "Linux", "packages": "keras 3"}
    monkeypatch.setattr(measure, "machine", lambda: here)
    first = pages.begin_of_kind(path, given, again=False)
    pages.keep_of_kind(path, first | {"runs": 1})
    here = here | {"processor": "two, 4 cores"}
    assert pages.keep_of_kind(path, pages.begin_of_kind(path, given, again=False)) == [
        first | {"runs": 1},
        first | {"machine": here},
    ]
    here = first["machine"]
    assert pages.begin_of_kind(path, given, again=False) == first | {"runs": 1}
    assert pages.begin_of_kind(path, given, again=True) == first
    here = here | {"packages": "keras 4"}
    with pytest.raises(SystemExit, match="other packages than these: begin anew with --again"):
        pages.begin_of_kind(path, given, again=False)


def test_measurements_that_are_not_kept_by_kind_say_to_remove_the_file(tmp_path: Path) -> None:
    path, given = tmp_path / "search.json", inputs.Inputs("cats", tmp_path, tmp_path, [], [])
    path.write_text(json.dumps(pages.begun(path, given) | {"images": "dogs"}))
    with pytest.raises(SystemExit, match=r"search\.json holds results of other images.*: remove it to begin anew"):
        pages.begun(path, given)


def test_a_short_measurement_is_compared_with_the_last_one_of_another_commit() -> None:
    def run(commit: str, seconds: float, processor: str = "one") -> dict[str, Any]:
        return {"commit": commit, "processor": processor, "images": "cats", "values": {"study, s": seconds}}

    now = run("c", 30.0)
    before = quick.find_before(now, [run("a", 50.0), run("b", 40.0), run("c", 31.0), run("d", 9.0, "two")])
    assert before == run("b", 40.0)
    assert [line.split() for line in quick.tabulate(now, before).splitlines()] == [
        ["c", "b", "ratio"],
        ["study,", "s", "30.0", "40.0", "0.75"],
    ]
    assert quick.find_before(now, [run("c", 31.0)]) is None
    assert quick.tabulate(now, None).splitlines()[1].split() == ["study,", "s", "30.0"]


TRIAL = {
    "unfreeze_from": "none", "learning_rate": 1e-4, "epochs": 3, "score": 0.05, "val_loss": 0.05,
    "val_accuracy": 0.98, "seconds": 9.0, "peak_mb": 1000.0, "trial": 0, "continues": None, "epochs_of_its_own": 3,
}  # fmt: skip
SEARCHED: dict[str, Any] = {
    "images": "cats",
    "machine": {"processor": "one, 2 cores", "system": "Linux", "packages": "keras 3"},
    "full": {
        "seconds": 1000.0,
        "stages": {"search": 900.0},
        "trials": [TRIAL, TRIAL, TRIAL | {"score": 0.04, "val_accuracy": 0.99}],
        "validation_images": 800,
    },
    "guide a": {"unfreeze_from": "a", "epoch_seconds": 118.0, "head_epoch_seconds": 100.0},
    "guide b": {"unfreeze_from": "b", "epoch_seconds": 138.0, "head_epoch_seconds": 100.0},
}


def test_a_search_is_compared_with_as_many_trials_the_guides_way() -> None:
    found = search.summary(SEARCHED)["searches"]["full"]
    # One head of 3 times 100 s; of 20 trials 4 of 3 times 100 s and 16 of 3 times 128 s.
    assert found["ratio"] == pytest.approx((300 + 4 * 300 + 16 * 384) / 1000)
    assert found["best"]["val_accuracy"] == 0.99
    assert found["half_width"] == pytest.approx(1.96 * math.sqrt(0.99 * 0.01 / 800))


def test_the_search_page_shows_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE", tmp_path / "search.md")
    rows = [{"unfreeze_from": point, "peak_mb": peak} for point, peak in (("a", 100.0), ("b", 150.0), ("a", 110.0))]
    measured = {
        "workers": {"backbone": "x", "trials": 8, "one": 90.0, "two": 50.0},
        "memory": {"backbone": "x", "rows": rows},
    }
    search.write_page(SEARCHED | measured)
    text = (tmp_path / "search.md").read_text()
    assert "| random, every trial to its end | 3 | 9 | 1000 | 7.6 | none | 1.0e-04 | 0.9900 |" in text
    assert "1.80 times the trials an hour" in text
    assert "The last takes at most 1.10 times the first." in text
    assert "What unfreezing is worth\n" not in text


@pytest.mark.parametrize("benchmark", [search, paper])
def test_a_committed_page_is_that_of_the_committed_measurements(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = benchmark.PAGE.read_text()
    monkeypatch.setattr(benchmark, "PAGE", tmp_path / "page.md")
    benchmark.write_page(json.loads(benchmark.RESULTS.read_text()))
    assert (tmp_path / "page.md").read_text() == committed


def studied(accuracy: float, right: list[int]) -> dict[str, Any]:
    """Return a study of one backbone on four images."""
    interval = {"value": accuracy, "low": accuracy - 0.1, "high": accuracy}
    row = {
        "backbone": "vgg16", "weights": "x", "unfreeze_from": "all", "learning_rate": 1e-4,
        "confusion": [[2, 0], [0, 2]],
        "scores": dict.fromkeys(("accuracy", "macro_f1", "log_loss"), interval), "cost": {},
        "classes": {"cat": {**dict.fromkeys(("precision", "recall", "f1"), interval), "support": 2}},
        "averages": dict.fromkeys(("macro", "weighted"), dict.fromkeys(("precision", "recall", "f1"), 0.5)),
    }  # fmt: skip
    return {
        "rows": [row], "pairs": [], "smallest_difference": 0.5, "verdict": {"text": "vgg16 is best."}, "findings": [],
        "classes": ["cat", "dog"], "labels": [0, 0, 1, 1], "right": {"vgg16": right},
    }  # fmt: skip


def test_the_paper_page_shows_what_wrong_pixels_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "PAGE", tmp_path / "paper.md")
    run = {"paper native": studied(1.0, [1, 1, 1, 1]), "paper unit": studied(0.5, [1, 0, 1, 0])}
    paper.write_page({"images": "cats", "machine": SEARCHED["machine"], **run})
    text = (tmp_path / "paper.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| vgg16 | 0.9337 |")]
    assert "| 1.0000 (0.9000 to 1.0000) | 0.5000 (0.4000 to 0.5000) | +50.0 (" in row
    # Against 771 of 800 right in the report.
    assert "+3.6" in text
    assert "## study=six" not in text


def test_the_pictures_of_the_committed_paper_page_are_there() -> None:
    pictures = re.findall(r"\((paper/[^)]+)\)", paper.PAGE.read_text())
    assert pictures
    assert all((PROJECT / "docs" / name).exists() for name in pictures)


# Linux counts what a process's parent held when it was started: pytest, with TensorFlow in it, holds more than these.
MEASURED = """
import json, sys
from pathlib import Path
from benchmarks import measure
child = "import time; x = bytearray(200 << 20); time.sleep(0.2); print('done')"
parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
run = measure.run([sys.executable, "-c", parent], folder=Path.cwd())
print(json.dumps([run.seconds, run.peak_mb, run.lines]))
"""


def test_time_and_memory_of_the_largest_process() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED], cwd=PROJECT, capture_output=True, text=True, check=True)
    seconds, peak_mb, ((second, line),) = json.loads(done.stdout)
    assert line == "done"
    assert 0.2 < second <= seconds
    assert 200 < peak_mb < 300


def test_a_failed_command_shows_its_last_lines() -> None:
    with pytest.raises(RuntimeError, match="failed with 3:\nno luck"):
        measure.run([sys.executable, "-c", "print('no luck'); raise SystemExit(3)"], folder=PROJECT)


def test_multiply_accumulates_of_a_known_layer() -> None:
    inputs_of_model = keras.Input((10, 10, 3))
    model = keras.Model(inputs_of_model, keras.layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs_of_model))
    assert limits.count_multiply_accumulates(model) == 10 * 10 * 8 * 3 * 3 * 3


def test_more_images_than_there_are_all_differ(tmp_path: Path) -> None:
    fill_with_images(tmp_path / "images", images=3)
    folder = inputs.enlarged(tmp_path / "images", 14, tmp_path / "more")
    pictures = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*/*"))]
    assert len(pictures) == 14
    assert len({picture.tobytes() for picture in pictures}) == 14


def test_the_guides_way_runs(tmp_path: Path) -> None:
    images = fill_with_images(tmp_path / "images", images=20)
    command = [sys.executable, str(PROJECT / "benchmarks/guide.py"), "--data", str(images)]
    command += [
        "--backbone",
        "MobileNetV2",
        "--weights",
        "none",
        "--size",
        "32",
        "--unfreeze-from",
        "block_16_expand",
    ]
    run = measure.run([*command, "--head-epochs", "1", "--epochs", "1"], folder=PROJECT)
    said = json.loads(run.lines[-1][1])
    assert (said["images"], said["test_images"]) == (40, 8)
    assert 0 <= said["test_accuracy"] <= 1
    assert said["head_s"] > 0 and said["fine_tune_s"] > 0
