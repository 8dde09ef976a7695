"""Statistics of rows of numbers, for the checks of stored pixels and activations."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from unfreeze.runtime.processors import count_processors

# Rows at a time: each is copied to float32 several times.
ROWS = 16


def measure_rows(batches: Iterable[np.ndarray]) -> pd.DataFrame:
    """Measure each row of some arrays.

    Args:
        batches: Arrays of shape (rows, ...), of any kind of number.

    Returns:
        One line a row: `finite` (whether all of its values are), and the `mean` and `deviation` of its values.

    Example:
        >>> measure_rows([np.array([[1.0, 3.0], [2.0, 2.0]])]).to_dict("list")
        {'finite': [True, True], 'mean': [2.0, 2.0], 'deviation': [1.0, 0.0]}
    """
    # Threads: NumPy releases Python's lock while it works.
    with ThreadPoolExecutor(count_processors()) as pool:
        parts = [
            part
            for batch in batches
            for part in pool.map(_measure, [batch[start : start + ROWS] for start in range(0, len(batch), ROWS)])
        ]
    return pd.concat(parts, ignore_index=True)


def _measure(rows: np.ndarray) -> pd.DataFrame:
    rows = rows.reshape(len(rows), -1).astype("float32")
    finite = np.isfinite(rows).all(axis=1)
    # NaN and infinity are expected here: the table reports them.
    with np.errstate(invalid="ignore"):
        return pd.DataFrame({"finite": finite, "mean": rows.mean(axis=1), "deviation": rows.std(axis=1)})
