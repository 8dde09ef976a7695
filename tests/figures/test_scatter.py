"""Scatter charts of accuracy and a cost."""

import re

import pytest
import vl_convert

from tests.report.conftest import study_data
from unfreeze.figures.data import CostData
from unfreeze.figures.formats import format_digits
from unfreeze.figures.scatter import draw_scatter


@pytest.mark.parametrize(
    ("least", "most", "shown"), [(0.128, 0.4, r"0\.\d+"), (12.5, 40.0, r"\d\d"), (20e6, 140e6, r"\d+M")]
)
def test_costs_are_written_as_people_write_them(least: float, most: float, shown: str) -> None:
    costs = {"xception": most, "vgg16": least, "from_scratch": (least + most) / 2}
    (chart,) = draw_scatter(CostData(study_data(), {}), costs, "cost", "units", format_digits)
    svg = vl_convert.vegalite_to_svg({**chart.spec, "width": 400})
    written = re.findall(r">([\d.]+[a-zA-Z]?)<", svg)
    assert len(written) > 3
    assert all(re.fullmatch(shown, text) for text in written), written
