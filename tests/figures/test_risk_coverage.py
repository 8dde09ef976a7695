"""The curve of risk against coverage shows the packed threshold, and the same numbers as a table."""

import dataclasses
from typing import Any

import pandas as pd
import pytest

from tests.report.conftest import study_data
from unfreeze.figures.charts.risk_coverage import draw_risk_coverage
from unfreeze.figures.parts import Chart

CURVE = pd.DataFrame({"coverage": [0.25, 0.5, 1.0], "risk": [0.0, 0.1, 0.3], "threshold": [0.95, 0.8, 0.55]})


def draw(curve: pd.DataFrame, **packed: float) -> Chart:
    data = study_data().backbones["xception"]
    abstention = data.scores.abstention.model_copy(update=packed)
    scores = data.scores.model_copy(update={"abstention": abstention})
    (chart,) = draw_risk_coverage(dataclasses.replace(data, scores=scores, risk_coverage=curve))
    return chart


@pytest.mark.parametrize(("lowest", "points"), [(0.7, [0.5]), (0.8, [0.5]), (0.0, [1.0]), (0.9, [0.25]), (1.1, [])])
def test_the_point_is_where_the_packed_threshold_is(lowest: float, points: list[float]) -> None:
    layers: list[dict[str, Any]] = draw(CURVE, lowest=lowest).spec["layer"]
    assert [row["coverage"] for row in layers[-1]["data"]["values"]] == points


def test_the_table_says_what_each_share_of_accepted_answers_costs() -> None:
    assert draw(CURVE).table.rows == [["100.0 %", "55.0 %", "30.0 %"], ["50.0 %", "80.0 %", "10.0 %"]]


def test_one_probability_for_all_images_is_drawn() -> None:
    assert draw(CURVE.tail(1)).table.rows == [["100.0 %", "55.0 %", "30.0 %"]]


def test_the_area_is_named_with_what_a_probability_that_says_nothing_would_give() -> None:
    chart = draw(CURVE, risk_area=0.0123)
    assert "0.012; about 0.040 if the probability said nothing" in chart.description
