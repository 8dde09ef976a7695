"""Loading of large libraries without the garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_collector() -> Iterator[None]:
    """Import without collecting garbage, and leave all that is loaded out of later collections.

    TensorFlow, Great Expectations and MLflow make hundreds of thousands of objects that live as long as the process.
    The collector would look through them again and again while they load, and once more at the end: two fifths of
    the time that a process with one of them takes to start and to end (`gc.freeze` in Python's documentation).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
