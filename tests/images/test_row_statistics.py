import numpy as np

from unfreeze.images import row_statistics


def test_dead_and_infinite_rows_are_told() -> None:
    rows = np.array([[[1.0, 3.0]], [[0.0, 0.0]], [[np.inf, 1.0]]], dtype="float16")
    table = row_statistics.measure_rows([rows[:2], rows[2:]])
    assert table.index.tolist() == [0, 1, 2]
    assert table["mean"].tolist()[:2] == [2.0, 0.0]
    assert table["deviation"].tolist()[:2] == [1.0, 0.0]
    assert table["finite"].tolist() == [True, True, False]
