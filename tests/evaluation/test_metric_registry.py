"""A metric from outside the package reaches every place that shows metrics."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.warm import find_programs
from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import metric_registry
from unfreeze.evaluation.metric_registry import Metric, list_metrics, register

MATTHEWS = '''
"""Matthews' correlation coefficient."""

from sklearn.metrics import matthews_corrcoef

from unfreeze.evaluation.fold import bootstrap
from unfreeze.evaluation.metric_registry import Metric, register


def score(labels, probabilities, weights):
    return matthews_corrcoef(labels, probabilities.argmax(axis=1), sample_weight=weights)


register(Metric("matthews", "Matthews correlation", bootstrap(score)))
'''

# A process of its own: what is registered stays registered.
STUDY = """
import json, sys
from pathlib import Path
import numpy as np
from tests.stages.test_verdict import judged, made_up
from unfreeze.paths import Paths
from unfreeze.records.verdict import Verdict
from unfreeze.tracking import contents

names = ["xception", "from_scratch"]
paths = made_up(Path.cwd(), names, np.arange(80) % 2, ["cat", "dog"], skill=[0.9, 0.6])
judged(paths, names)
row = Verdict.read(paths.verdict).find_row("xception")
print(json.dumps([row.scores["matthews"].to_json(), list(contents.list_verdict_metrics(row, {"test_accuracy"}))]))
"""


def test_a_metric_from_plugins_is_in_verdict_report_markdown_and_mlflow(tmp_path: Path) -> None:
    plugin = tmp_path / "plugins" / "metrics" / "matthews.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(MATTHEWS)
    done = subprocess.run(
        [find_programs() / "python", "-c", f"import sys; sys.path.insert(0, {str(PROJECT)!r}){STUDY}"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT / "src"), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    score, points = json.loads(done.stdout.splitlines()[-1])
    assert 0.4 < score["low"] < score["value"] < score["high"] < 1
    logged = {point[0]: point[1] for point in points}
    assert logged["test_matthews"] == pytest.approx(score["value"], rel=1e-5)
    assert logged["test_matthews_low"] == pytest.approx(score["low"], rel=1e-5)
    shown = f"{score['value']:.3f}"
    markdown = (tmp_path / "reports/report.md").read_text()
    assert "| Matthews correlation |" in markdown
    assert f"| {shown} |" in markdown
    page = (tmp_path / "reports/index.html").read_text()
    # In the comparison and in the section of each of both backbones.
    assert page.count("Matthews correlation") == 3
    assert page.count(f"{shown} <small>{score['low']:.3f} to {score['high']:.3f}</small>") == 2


def test_the_built_in_metrics_have_names_titles_and_directions() -> None:
    assert [(metric.name, metric.title, metric.higher_is_better) for metric in list_metrics()] == [
        ("accuracy", "accuracy", True),
        ("balanced_accuracy", "balanced accuracy", True),
        ("macro_f1", "macro F1", True),
        ("log_loss", "log-loss", False),
        ("auc", "AUC", True),
        ("calibration_error", "calibration error", False),
    ]


def test_two_metrics_of_one_name_are_refused() -> None:
    assert "accuracy" in {metric.name for metric in list_metrics()}
    with pytest.raises(UnfreezeError, match="metric 'accuracy' is registered twice"):
        register(Metric("accuracy", "another", metric_registry._METRICS["accuracy"].interval))
