import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unfreeze.figures import label_placement


@given(st.lists(st.tuples(st.floats(0, 270), st.floats(0, 260), st.integers(1, 18)), min_size=1, max_size=12))
def test_no_name_covers_another(points: list[tuple[float, float, int]]) -> None:
    x, y = np.array([point[0] for point in points]), np.array([point[1] for point in points])
    names = ["n" * point[2] for point in points]
    dx, dy = label_placement.place_names(x, y, names, width=270)
    boxes = [
        (x[n] + dx[n], x[n] + dx[n] + label_placement.LETTER * len(names[n]), y[n] + dy[n])
        for n in range(len(points))
    ]
    for one, other in itertools.combinations(boxes, 2):
        assert one[1] <= other[0] or other[1] <= one[0] or abs(one[2] - other[2]) >= label_placement.LINE - 1e-6
    assert min(dy) >= 0


def test_a_name_stands_where_there_is_room() -> None:
    dx, dy = label_placement.place_names(np.array([10.0, 260.0]), np.array([0.0, 0.0]), ["left", "right"], width=270)
    assert dx[0] > 0 > dx[1]
    assert dy == [0, 0]
