"""Every PNG is drawn from files alone, to the same bytes each time, each chart from its one entry."""

import json
import os
import subprocess
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pytest

from tests.report.conftest import study, study_data, verdict
from tests.warm import find_programs
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.figures import draw, vega
from unfreeze.figures.charts.confusion import draw_confusion
from unfreeze.figures.charts.search import draw_search
from unfreeze.figures.registry import load_charts
from unfreeze.images import jpeg
from unfreeze.paths import Paths

CLASSES = ["NA", "007"]
NAMES = ("tiny", "xception")


def write_study(paths: Paths, classes: list[str]) -> None:
    """Write what stages write for a study of two backbones."""
    of = verdict({"tiny": 0.8, "xception": 0.9}, classes=classes, images=60 * len(classes))
    files.write_json(paths.verdict, of)
    grey = jpeg.encode(np.full((32, 32, 3), 128, "uint8"), side=32)
    for name, data in study_data(of).backbones.items():
        data.scores.write(paths.evaluation(name))
        data.search.write(paths.search(name))
        files.write_json(paths.learning_curve(name), data.learning_curve and data.learning_curve.to_json())
        probabilities = {f"p_{label}": [1 / len(classes)] for label in classes}
        said = {"id": ["a"], "label": [classes[0]], "predicted": [classes[0]], "correct": [True], **probabilities}
        files.write_csv(paths.predictions(name), pd.DataFrame(said))
        files.write_csv(paths.history(name), data.history)
        files.write_csv(paths.roc(name), data.roc)
        files.write_csv(paths.precision_recall(name), data.precision_recall)
        files.write_csv(paths.reliability(name), data.reliability)
        files.write_csv(paths.risk_coverage(name), data.risk_coverage)
        mistake = {
            "kind": "mistake", "id": "a", "label": classes[0], "predicted": classes[1], "probability": 0.9,
            "picture": grey, "heatmap": grey, "neighbours": [],
        }  # fmt: skip
        with files.atomic(paths.mistakes(name)) as partial:
            pd.DataFrame([mistake]).to_parquet(partial)


def draw_all(paths: Paths) -> dict[str, bytes]:
    """Draw the study's figures and return their bytes by file name."""
    for name in NAMES:
        draw.draw_backbone(paths, name)
    draw.draw_study(paths, NAMES)
    return {path.name: path.read_bytes() for path in paths.pictures.glob("*.png")}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path)
    write_study(made, CLASSES)
    return made


def test_every_chart_is_drawn_to_the_same_bytes_each_time(paths: Paths) -> None:
    first = draw_all(paths)
    of_backbone = {
        "confusion", "corruptions", "history", "learning_curve", "mistakes", "precision_recall", "reliability",
        "risk_coverage", "roc", "search",
    }  # fmt: skip
    of_all = {"accuracy", "class_curves", "pairs", "training"}
    assert set(first) == {
        *(f"{name}_{chart}.png" for name in NAMES for chart in of_backbone),
        *(f"all_{chart}.png" for chart in of_all),
    }
    assert all(picture.startswith(b"\x89PNG") for picture in first.values())
    assert draw_all(paths) == first


def test_what_is_logged_is_what_is_drawn(paths: Paths) -> None:
    drawn = draw_all(paths)
    listed = [*(path for name in NAMES for path in draw.list_backbone_pictures(paths, name))]
    listed += draw.list_study_pictures(paths)
    assert {path.name for path in listed} == set(drawn)


def test_no_png_depends_on_measured_times(paths: Paths) -> None:
    first = draw_all(paths)
    record = files.read_json(paths.search("tiny"))
    files.write_json(paths.search("tiny"), {**record, "trials": [{**one, "seconds": 9} for one in record["trials"]]})
    slow = files.read_json(paths.verdict)
    for row in slow["rows"]:
        row["cost"] |= {"latency_ms": {"1": 999.0}, "training_seconds": 999.0}
    files.write_json(paths.verdict, slow)
    assert draw_all(paths) == first


PLUGIN = """
from unfreeze.figures.parts import Chart, Table
from unfreeze.figures.registry import register_backbone_chart, register_study_chart

X = {"field": "x", "type": "nominal"}
SPEC = {
    "layer": [{"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": X}}],
    "width": "container",
    "height": 50,
}


@register_backbone_chart("own", "A chart of one's own")
def draw_own(data):
    return [Chart("Own chart", f"The own chart of {data.name}.", SPEC, Table("Own", ["x"], [["1"]]))]


@register_study_chart("own", "A chart of one's own")
def draw_own_study(data):
    return [Chart("Own chart of all", "The own chart of all.", SPEC, Table("Own", ["x"], [["1"]]))]
"""
# The registry lives as long as the process, so the plugin is loaded in another one.
DRAW = """
import sys
from pathlib import Path

from tests.report.conftest import study
from unfreeze.figures import draw
from unfreeze.paths import Paths
from unfreeze.report import page

paths = Paths(Path.cwd())
draw.draw_backbone(paths, "tiny")
draw.draw_study(paths, ["tiny", "xception"])
assert {path.name for path in draw.list_backbone_pictures(paths, "tiny")} >= {"tiny_own.png"}
assert {path.name for path in draw.list_study_pictures(paths)} >= {"all_own.png"}
Path("index.html").write_text(page.build_page(study()), encoding="utf-8")
"""


def run_in(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    return subprocess.run(
        [find_programs() / "python", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_chart_from_outside_is_on_the_page_a_png_and_logged(paths: Paths) -> None:
    files.write_text(paths.root / "plugins/charts/own.py", PLUGIN)
    ended = run_in(paths.root, DRAW)
    assert ended.returncode == 0, ended.stderr
    page = (paths.root / "index.html").read_text(encoding="utf-8")
    assert "The own chart of xception." in page
    assert "More charts" in page and "The own chart of all." in page
    assert paths.backbone_chart("tiny", "own").exists()
    assert paths.study_chart("own").exists()


def test_a_chart_whose_name_is_taken_is_refused(paths: Paths) -> None:
    files.write_text(paths.root / "plugins/charts/own.py", PLUGIN.replace('"own"', '"roc"', 1))
    ended = run_in(paths.root, DRAW)
    assert "plugins/charts/own.py cannot be imported" in ended.stderr
    assert "chart 'roc' is there already: choose another name" in ended.stderr


def test_text_looks_the_same_whatever_fonts_are_installed(paths: Paths) -> None:
    code = """
import sys
from pathlib import Path
from unfreeze.figures import draw
from unfreeze.paths import Paths
draw.draw_backbone(Paths(Path.cwd()), "tiny")
"""
    assert run_in(paths.root, code).returncode == 0
    with_fonts = paths.backbone_chart("tiny", "confusion").read_bytes()
    empty = paths.root / "fonts.conf"
    files.write_text(empty, "<fontconfig><dir>/nowhere</dir></fontconfig>")
    assert run_in(paths.root, f"import os; os.environ['FONTCONFIG_FILE'] = {str(empty)!r}\n{code}").returncode == 0
    assert paths.backbone_chart("tiny", "confusion").read_bytes() == with_fonts


def test_a_specification_that_is_not_valid_is_named(paths: Paths) -> None:
    (chart,) = draw_confusion(study_data().backbones["xception"])
    chart.spec["layer"][0]["mark"] = {"type": "no such mark"}
    with pytest.raises(UnfreezeError, match="the chart 'title' is not valid Vega-Lite"):
        vega.write_png([chart], "title", paths.study_chart("broken"))


def test_every_specification_is_valid_vega_lite() -> None:
    entries, of_costs = load_charts(), study().charts
    drawn = [chart for entry in entries.of_costs.values() for chart in entry.draw(of_costs)]
    drawn += [chart for entry in entries.of_study.values() for chart in entry.draw(of_costs.study)]
    for data in of_costs.study.backbones.values():
        drawn += [chart for entry in entries.of_backbone.values() for chart in entry.draw(data)]
    assert len(drawn) > len(entries.of_backbone)
    for chart in drawn:
        alt.LayerChart.from_dict(chart.spec, validate=True)


def test_the_charts_script_is_kept_for_the_next_report(tmp_path: Path) -> None:
    bundled = vega.bundle_scripts()
    assert vega.find_scripts(tmp_path / "kept") == bundled
    (kept,) = (tmp_path / "kept").iterdir()
    assert vega.find_scripts(tmp_path / "kept") == bundled == kept.read_bytes().decode()
    # A folder that cannot be made costs time and nothing else.
    assert vega.find_scripts(kept / "below") == bundled


def test_the_page_and_the_png_have_one_specification() -> None:
    for entry in load_charts().of_backbone.values():
        for chart in entry.draw(study_data().backbones["xception"]):
            assert chart.spec["width"] == "container"
            assert "var(--" in json.dumps(chart.spec) or "style" in json.dumps(chart.spec)


def test_a_search_shows_points_from_the_top_down_and_failed_trials_as_crosses() -> None:
    by_point, by_trial = draw_search(study_data().backbones["xception"])
    points = by_point.spec["layer"][0]["encoding"]["y"]["sort"]
    assert points == ["none", "block14_sepconv1", "block13_sepconv1"]
    assert [layer["mark"].get("shape") for layer in by_point.spec["layer"]] == [None, "cross"]
    assert "3 trials of xception, 1 failed" in by_trial.description


def test_many_classes_have_no_numbers_in_their_cells() -> None:
    classes = [f"class {number:02}" for number in range(60)]
    data = study_data(verdict({"xception": 0.9}, classes=classes, images=1200)).backbones["xception"]
    (chart,) = draw_confusion(data)
    assert len(chart.spec["layer"]) == 1
    assert chart.table.rows[0] == ["class 00", "class 01", "2", "10.0 %"]
