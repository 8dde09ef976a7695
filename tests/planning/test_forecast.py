"""How long a stage takes here: as long as it took, and in proportion where there is more to do."""

import pytest

from tests.planning.studies import NETWORK, SETTINGS, changed, job
from unfreeze.planning.costs import estimate
from unfreeze.planning.forecast import Past, forecast, measure_speed, recall
from unfreeze.planning.machine import Speed
from unfreeze.planning.measurements import Measurement


def measured(**changes: object) -> Measurement:
    values = {
        "stage": "extract", "backbone": "a", "machine": "this", "begun": 0.0, "seconds": 50.0, "peak_mb": 1000.0,
        "images": 2000, "raw_bytes": None, "backbones": 2, "seeds": 0, "settings": SETTINGS,
    }  # fmt: skip
    return Measurement.model_validate({**values, **changes})


def test_the_same_work_takes_what_it_took() -> None:
    found = forecast(job("extract"), "a", recall([measured()], [NETWORK]), Speed())
    cost = estimate(job("extract"))
    assert found.seconds == pytest.approx(50.0 + cost.overhead(Speed()))
    assert found.peak_mb == pytest.approx(1000.0)
    assert found.measured


def test_more_images_take_longer_in_the_formula_s_proportion() -> None:
    found = forecast(job("extract", images=6000), "a", recall([measured()], [NETWORK]), Speed())
    more = estimate(job("extract", images=6000)).work(Speed()) / estimate(job("extract")).work(Speed())
    assert found.seconds - found.cost.overhead(Speed()) == pytest.approx(50.0 * more)
    assert 2 < more < 3


def test_without_an_earlier_run_the_probed_speed_scales_the_formula() -> None:
    slow, fast = (
        forecast(job("extract"), "a", [], Speed(arithmetic=factor, decoding=factor, python=factor))
        for factor in (3, 1)
    )
    assert slow.seconds == pytest.approx(3 * fast.seconds)
    assert not slow.measured


def test_a_stage_that_has_not_run_yet_is_as_slow_as_those_that_have() -> None:
    slow = Past("a", job("extract"), 3 * estimate(job("extract")).work(Speed()), 900.0)
    (few,) = [Past("a", job("extract", images=100), 30.0, 900.0)]
    assert measure_speed([few]) is None
    found = measure_speed([slow] * 3)
    assert found is not None and found.arithmetic == found.python == pytest.approx(3.0)


def test_the_median_of_the_last_runs_forgets_one_on_a_busy_machine() -> None:
    pasts = [Past("a", job("extract"), seconds, 1000.0) for seconds in (500.0, 40.0, 42.0, 41.0)]
    found = forecast(job("extract"), "a", pasts, Speed())
    assert found.seconds - found.cost.overhead(Speed()) == pytest.approx(41.0)


def test_the_same_backbone_is_closer_than_the_same_amount_of_work() -> None:
    pasts = [Past("a", job("extract", images=1000), 30.0, 900.0), Past("b", job("extract"), 500.0, 900.0)]
    of_a, of_b = (forecast(job("extract"), name, pasts, Speed()).seconds for name in "ab")
    assert of_a < 100 < of_b


def test_runs_of_other_versions_settings_and_of_lost_backbones_are_left_out() -> None:
    other = measured(settings={"split": {"train": 0.5}})
    assert recall([other, measured()], [NETWORK, None]) == []
    assert len(recall([measured(settings=changed(split={"method": "stable"}))], [NETWORK])) == 1
