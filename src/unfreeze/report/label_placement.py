"""Places for the names of points, so that no two cover each other."""

from collections.abc import Sequence

import numpy as np

# Pixels: a letter and a line of small text, and from a point to its name.
LETTER = 6.5
LINE = 14
GAP = 9


def beside(x: np.ndarray, y: np.ndarray, names: Sequence[str], *, width: int) -> tuple[list[float], list[float]]:
    """Return how far each name starts from its point, in pixels.

    A name stands to the right of its point where there is room, else to the left; one that would cover another
    stands lower.

    Args:
        x: Places of the points from the left, shape (points,).
        y: Places from the top, shape (points,).
        names: What stands beside them.
        width: Of the plot.

    Returns:
        The distances along x and along y, downward.
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
