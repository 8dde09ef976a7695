"""Positions for the names of points, so that no two overlap."""

from collections.abc import Sequence

import numpy as np

# Pixels: a letter and a line of small text, and from a point to its name.
LETTER = 6.5
LINE = 14
GAP = 9


def place_names(x: np.ndarray, y: np.ndarray, names: Sequence[str], *, width: int) -> tuple[list[float], list[float]]:
    """Return the distance of each name from its point, pixels.

    A name starts to the right of its point where there is room, else it ends to the left; one that would overlap
    another moves down.

    Args:
        x: Positions of the points from the left, pixels, shape (points,).
        y: Positions from the top, pixels, shape (points,).
        names: The names.
        width: Width of the plot, pixels.

    Returns:
        The distances along x and along y (downward), one a name.
    """
    dx, dy = [0.0] * len(names), [0.0] * len(names)
    taken: list[tuple[float, float, float]] = []
    for place in np.argsort(y, kind="stable"):
        long = LETTER * len(names[place])
        dx[place] = GAP if x[place] + GAP + long <= width else -GAP - long
        start, line = x[place] + dx[place], float(y[place])
        # From the top down, so that one way past all others is enough.
        for left, right, height in sorted(taken, key=lambda box: box[2]):
            if left < start + long and start < right and abs(height - line) < LINE:
                line = height + LINE
        dy[place] = line - float(y[place])
        taken.append((start, start + long, line))
    return dx, dy
