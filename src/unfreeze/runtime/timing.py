"""How long a call takes."""

import statistics
import time
from collections.abc import Callable

# No further call is timed after so long: calls that take a second differ little, and a few of them are enough.
MOST_SECONDS = 1.0
CALLS = 20


def measure_median_ms(call: Callable[[], object], *, calls: int = CALLS) -> float:
    """Return the median time of a call, milliseconds.

    Slow calls are made less often, at least once.

    Args:
        call: What is timed, one call after the other.
        calls: Most calls that are timed.
    """

    def measure_seconds() -> float:
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun

    # The first call allocates.
    measure_seconds()
    taken: list[float] = []
    while len(taken) < calls and sum(taken) < MOST_SECONDS:
        taken.append(measure_seconds())
    return 1000 * statistics.median(taken)
