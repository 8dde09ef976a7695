"""Curves with fewer points that look the same."""

import numpy as np
import pandas as pd


def thin(curve: pd.DataFrame, x: str, y: str, most: int) -> pd.DataFrame:
    """Keep rows at even distances along a curve, the first and the last among them.

    Distance is measured along the axes, as |dx| + |dy|, so that a steep part keeps as many points as a flat one.

    Args:
        curve: One row a point, in order.
        x: Name of a column of numbers from 0 to 1.
        y: The same.
        most: Most rows to keep, 2 or more.
    """
    if len(curve) <= most:
        return curve
    steps = curve[[x, y]].diff().abs().sum(axis=1)
    along = steps.cumsum().to_numpy()
    wanted = np.linspace(0, along[-1], most)
    return curve.iloc[np.unique(np.searchsorted(along, wanted).clip(max=len(curve) - 1))]


def read_off(curve: pd.DataFrame, x: str, y: str, at: np.ndarray) -> np.ndarray:
    """Return a curve's heights at given places; the highest where it rises straight up.

    Args:
        curve: One row a point, in order of x, rising or falling.
        x: Name of a column of numbers.
        y: The same.
        at: Places, shape (n,).
    """
    highest = curve.groupby(x)[y].max()
    return np.asarray(np.interp(at, highest.index.to_numpy(), highest.to_numpy()))
