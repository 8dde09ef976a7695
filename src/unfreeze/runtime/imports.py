"""Loading of large libraries without the garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_collector() -> Iterator[None]:
    """Import without garbage collection, and exclude all loaded objects from later collections.

    TensorFlow, Great Expectations and MLflow create hundreds of thousands of objects that live for the whole process.
    The collector would traverse them repeatedly while they load, and again at exit: two fifths of the time that a
    process with one of them takes to start and to end (`gc.freeze` in Python's documentation).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
