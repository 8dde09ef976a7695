"""Statistics of rows of numbers, for the checks of what is stored."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

# Rows at a time: they are widened to float32 several times over.
ROWS = 16


def by_row(batches: Iterable[np.ndarray]) -> pd.DataFrame:
    """Return one line a row: `finite`, and the `mean` and `deviation` of its values.

    Args:
        batches: Arrays of shape (rows, ...), of any kind of number.
    """
    # NumPy leaves Python to others while it works.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = [
            part
            for batch in batches
            for part in pool.map(_of_rows, [batch[start : start + ROWS] for start in range(0, len(batch), ROWS)])
        ]
    return pd.concat(parts, ignore_index=True)


def _of_rows(rows: np.ndarray) -> pd.DataFrame:
    rows = rows.reshape(len(rows), -1).astype("float32")
    finite = np.isfinite(rows).all(axis=1)
    # What is not finite has no deviation: that is what the table tells.
    with np.errstate(invalid="ignore"):
        return pd.DataFrame({"finite": finite, "mean": rows.mean(axis=1), "deviation": rows.std(axis=1)})
