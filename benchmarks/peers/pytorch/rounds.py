"""The rounds of a step, timed alike on both sides; nothing here needs a package, as both environments import it."""

import json
import sys
import time
from collections.abc import Callable


def print_rates(work: Callable[[], object], *, images: int, rounds: int) -> None:
    """Work once to warm up, then print images a second of each round as one JSON line.

    Args:
        work: One round.
        images: How many images a round has.
        rounds: How many rounds are timed.
    """
    work()
    rates = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        rates.append(images / (time.perf_counter() - begun))
    sys.stdout.write(json.dumps({"images_per_second": rates}) + "\n")
