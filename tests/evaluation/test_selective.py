import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfreeze.evaluation import selective
from unfreeze.serving import abstention

ANSWERS = st.lists(
    st.tuples(st.sampled_from([0.5, 0.6, 0.75, 0.9, 1.0]), st.booleans()), min_size=1, max_size=30
).map(lambda rows: tuple(np.array(part) for part in zip(*rows, strict=True)))


def test_risk_and_coverage_of_four_answers() -> None:
    curve = selective.compute_risk_coverage(np.array([0.6, 0.9, 0.6, 1.0]), np.array([False, True, True, True]))
    assert curve["coverage"].tolist() == [0.25, 0.5, 1.0]
    assert curve["risk"].tolist() == [0.0, 0.0, 0.25]
    assert curve["threshold"].tolist() == [1.0, 0.9, 0.6]
    assert selective.compute_risk_area(curve) == 0.125


@given(ANSWERS)
def test_each_point_is_what_its_threshold_gives(answers: tuple[np.ndarray, np.ndarray]) -> None:
    confidence, correct = answers
    for row in selective.compute_risk_coverage(confidence, correct).itertuples():
        accepted = confidence >= row.threshold
        assert row.coverage == accepted.mean()
        assert row.risk == pytest.approx((~correct[accepted]).mean())


@given(ANSWERS, st.randoms(use_true_random=False))
def test_the_area_does_not_depend_on_the_order_of_images(answers: tuple[np.ndarray, np.ndarray], random) -> None:
    confidence, correct = answers
    order = random.sample(range(len(correct)), len(correct))
    area = selective.compute_risk_area(selective.compute_risk_coverage(confidence, correct))
    again = selective.compute_risk_area(selective.compute_risk_coverage(confidence[order], correct[order]))
    assert area == again
    assert 0 <= area <= 1


def test_the_area_is_the_error_rate_where_confidence_says_nothing_and_less_where_it_does() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 20_000)
    by_chance, calibrated = random.random(20_000) < 0.75, random.random(20_000) < confidence
    areas = [
        selective.compute_risk_area(selective.compute_risk_coverage(confidence, correct))
        for correct in (by_chance, calibrated)
    ]
    assert areas[0] == pytest.approx(0.25, abs=0.02)
    # The mean risk above a coverage c is c / 4 then, and its mean over coverages an eighth.
    assert areas[1] == pytest.approx(0.125, abs=0.01)


@given(ANSWERS)
def test_the_packed_threshold_is_a_point_of_the_curve(answers: tuple[np.ndarray, np.ndarray]) -> None:
    curve = selective.compute_risk_coverage(*answers)
    lowest = abstention.find_lowest_confidence(*answers, 0.1)
    kept = curve[curve["threshold"] >= lowest].tail(1)
    assert kept.empty or kept["risk"].item() <= 0.1
