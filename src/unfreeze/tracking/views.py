"""What a person meets first in MLflow's pages: views of the last study, and a note that links them.

A view is what MLflow's "Share" button makes: filter, order, columns and charts as JSON in a tag of the experiment,
opened by the tag's name in the address. The addresses stay; from study to study they lead to the newest.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unfreeze.tracking import keys

# MLflow's own tags: a view, followed by its name; the text above the runs.
VIEW = "mlflow.sharedViewState."
# Without them MLflow asks what the experiment is for, and offers pages about language models.
PURPOSE = ("mlflow.experimentKind", "custom_model_development")
AREA = "?workflowType=machine_learning"
# Longest value of an experiment's tag that MLflow takes.
MAX_TAG = 5000

# Sections of charts. MLflow adds a chart of every metric it finds, by the section its name begins with: closed, they
# are neither drawn nor in the way.
OWN_SECTION = "Study"
CLOSED = ("Model metrics", "System metrics", "test_recall", "test_precision", "test_f1", "test_support")


@dataclass(frozen=True)
class Column:
    """A column of the table of runs.

    Args:
        group: `metrics`, `params` or `tags`.
        name: Of the metric, parameter or tag.
        width: In pixels.
    """

    group: str
    name: str
    width: int

    @property
    def id(self) -> str:
        """MLflow's name of the column, which orders runs too."""
        return f"{self.group}.`{self.name}`"


@dataclass(frozen=True)
class View:
    """A way to look at runs.

    Args:
        kind: Of the runs.
        of_study: Whether only those of the last study are shown.
        order: MLflow's name of the column by which runs are ordered.
        ascending: Whether the smallest comes first.
        columns: In the order in which they are shown.
        charts: Shown in place of the table if there are any.
        charts_a_row: How many stand side by side.
        chart_height: In pixels.
    """

    kind: str
    of_study: bool
    order: str
    ascending: bool
    columns: tuple[Column, ...]
    charts: tuple[Mapping[str, Any], ...] = ()
    charts_a_row: int = 1
    chart_height: int = 360

    @property
    def mode(self) -> str:
        """MLflow's name of what is shown in place of the table, or that it is the table."""
        return "CHART" if self.charts else "TABLE"


def _build_lines(metric: str) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "displayName": metric,
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "lineSmoothness": 0,
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _build_parallel_coordinates(params: list[str], metrics: list[str]) -> dict[str, Any]:
    return {"type": "PARALLEL", "selectedParams": params, "selectedMetrics": metrics, "showAllRuns": True}


TEST_ACCURACY = Column("metrics", "test_accuracy", 115)
SCORE = Column("metrics", "score", 100)
# How good, how sure, what it costs to use, how it came about.
COMPARED = (
    TEST_ACCURACY,
    Column("metrics", "test_accuracy_low", 140),
    Column("metrics", "test_accuracy_high", 145),
    Column("metrics", "gain", 75),
    Column("metrics", "latency_ms", 100),
    Column("metrics", "size_mb", 85),
    Column("params", "unfreeze_from", 150),
    Column("params", "learning_rate", 120),
    Column("metrics", "test_macro_f1", 120),
    Column("metrics", "test_log_loss", 120),
)
# Settings of trials, and their scores.
TRIED = (
    Column("params", "backbone", 140),
    Column("params", "unfreeze_from", 160),
    Column("params", "learning_rate", 160),
    Column("metrics", "val_accuracy", 120),
    SCORE,
)

VIEWS: dict[str, View] = {
    "comparison": View(keys.BACKBONE, True, TEST_ACCURACY.id, False, COMPARED),
    "curves": View(
        keys.BACKBONE,
        True,
        TEST_ACCURACY.id,
        False,
        COMPARED,
        charts=tuple(_build_lines(metric) for metric in ("val_accuracy", "val_loss", "accuracy", "loss")),
        charts_a_row=2,
    ),
    "trials": View(
        keys.TRIAL,
        True,
        SCORE.id,
        True,
        TRIED,
        # The last axis gives the colour.
        charts=(
            _build_parallel_coordinates(["backbone", "unfreeze_from", "learning_rate"], ["val_accuracy", "score"]),
        ),
        chart_height=480,
    ),
    "history": View(
        keys.BACKBONE,
        False,
        # Ordered by their begin, MLflow would hide runs below their parents.
        "attributes.`end_time`",
        False,
        (Column("tags", keys.OF_STUDY, 110), Column("tags", keys.OF_DATA, 130), *COMPARED),
    ),
}


def write_views(client: Any, experiment_id: str, study: str, study_run_id: str) -> None:
    """Point the experiment's views and its note at a study; a second time changes nothing.

    Args:
        client: MLflow's.
        experiment_id: The experiment of the study.
        study: What the keys of the study's runs begin with.
        study_run_id: The run of the study itself.
    """
    for name, view in VIEWS.items():
        client.set_experiment_tag(experiment_id, f"{VIEW}{name}", json.dumps(describe_view(view, study)))
    client.set_experiment_tag(experiment_id, *PURPOSE)
    wanted = _write_filter(VIEWS["comparison"], study)
    backbones = client.search_runs([experiment_id], wanted, order_by=[f"{TEST_ACCURACY.id} DESC"])
    client.set_experiment_tag(experiment_id, keys.NOTE, format_note(experiment_id, study_run_id, backbones))


def describe_view(view: View, study: str) -> dict[str, Any]:
    """Return a view as MLflow keeps it.

    Args:
        view: The view.
        study: What the keys of the study's runs begin with.
    """
    columns = [column.id for column in view.columns]
    placed = {"metricSectionId": OWN_SECTION, "deleted": False, "isGenerated": False}
    sections = [OWN_SECTION, *CLOSED]
    return {
        "searchFilter": _write_filter(view, study),
        "orderByKey": view.order,
        "orderByAsc": view.ascending,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column.id: column.width for column in view.columns},
        # MLflow draws only ten runs by default.
        "runsHiddenMode": "SHOW_ALL",
        "isAccordionReordered": True,
        "compareRunCharts": [
            {"uuid": f"chart-{number}", **placed, **chart} for number, chart in enumerate(view.charts, start=1)
        ],
        "compareRunSections": [
            {
                "uuid": name,
                "name": name,
                "display": name == OWN_SECTION,
                "isReordered": True,
                "deleted": False,
                "isGenerated": name != OWN_SECTION,
                "columns": view.charts_a_row,
                "cardHeight": view.chart_height,
            }
            for name in sections
        ],
    }


def format_note(experiment_id: str, study_run_id: str, backbones: list[Any]) -> str:
    """Return the text above the runs as Markdown: links to the views, the report, runs, pictures and models.

    MLflow shows the first line alone until it is asked for more. Backbones that do not fit into a tag are left out.

    Args:
        experiment_id: The experiment of the study.
        study_run_id: The run of the study itself.
        backbones: MLflow's runs of its backbones, the best first.
    """
    page = f"#/experiments/{experiment_id}"
    report = f"{page}/runs/{study_run_id}/artifacts/report/index.html{AREA}"
    links = {name: link.lstrip("/") for name, link in list_addresses("", experiment_id).items()} | {"report": report}
    text = "The last study: " + " · ".join(f"[{name}]({link})" for name, link in links.items()) + "\n\n"
    text += "| backbone | pictures | model |\n|---|---|---|\n"
    for run in backbones:
        at = f"{page}/runs/{run.info.run_id}"
        pictures = f"[pictures]({at}/artifacts/plots{AREA})"
        models = [f"[model]({page}/models/{made.model_id}/artifacts{AREA})" for made in run.outputs.model_outputs]
        line = f"| [{run.info.run_name}]({at}{AREA}) | {pictures} | {' '.join(models)} |\n"
        if len(text) + len(line) > MAX_TAG:
            break
        text += line
    return text


def list_addresses(base_url: str, experiment_id: str) -> dict[str, str]:
    """Return the address of each view by its name.

    Args:
        base_url: Address of MLflow's pages, such as http://127.0.0.1:5000.
        experiment_id: The experiment.
    """
    runs = f"{base_url.rstrip('/')}/#/experiments/{experiment_id}/runs{AREA}"
    return {name: f"{runs}&compareRunsMode={view.mode}&viewStateShareKey={name}" for name, view in VIEWS.items()}


def _write_filter(view: View, study: str) -> str:
    of_kind = f"tags.`{keys.KIND}` = '{view.kind}'"
    return f"{of_kind} AND tags.`{keys.KEY}` LIKE '{study}/%'" if view.of_study else of_kind
