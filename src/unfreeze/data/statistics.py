"""Statistics of rows of numbers, for the checks of what is stored."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

# Rows at a time: they are widened to float32 several times over.
ROWS = 16


def by_row(batches: Iterable[np.ndarray]) -> pd.DataFrame:
    """Return one line a row: `finite`, and the `mean` and `deviation` of its values.

    Args:
        batches: Arrays of shape (rows, ...), of any kind of number.
    """
    parts = []
    for rows in (batch[start : start + ROWS] for batch in batches for start in range(0, len(batch), ROWS)):
        rows = rows.reshape(len(rows), -1).astype("float32")
        finite = np.isfinite(rows).all(axis=1)
        # What is not finite has no deviation: that is what the table tells.
        with np.errstate(invalid="ignore"):
            parts.append(pd.DataFrame({"finite": finite, "mean": rows.mean(axis=1), "deviation": rows.std(axis=1)}))
    return pd.concat(parts, ignore_index=True)
