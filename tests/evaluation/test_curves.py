import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfreeze.evaluation import curves


@given(st.lists(st.floats(0, 1), min_size=3, max_size=300), st.integers(2, 40))
def test_a_thinned_curve_is_short_and_made_of_its_points(heights: list[float], most: int) -> None:
    curve = pd.DataFrame({"x": np.linspace(0, 1, len(heights)), "y": heights})
    kept = curves.thin(curve, "x", "y", most)
    assert len(kept) <= most
    assert kept.iloc[0].equals(curve.iloc[0])
    assert kept["x"].iloc[-1] == 1
    assert kept.index.isin(curve.index).all()
    assert kept["x"].is_monotonic_increasing


def test_a_steep_part_keeps_its_points() -> None:
    curve = pd.DataFrame(
        {"x": [0.0] * 50 + list(np.linspace(0, 1, 50)), "y": list(np.linspace(0, 1, 50)) + [1.0] * 50}
    )
    kept = curves.thin(curve, "x", "y", 21)
    assert (kept["x"] == 0).sum() == pytest.approx((kept["y"] == 1).sum(), abs=2)


def test_a_curve_is_read_off_at_its_highest() -> None:
    curve = pd.DataFrame({"x": [0, 0, 0.5, 1], "y": [0, 0.4, 0.8, 1]})
    assert curves.read_off(curve, "x", "y", np.array([0, 0.25, 1])) == pytest.approx([0.4, 0.6, 1])
