"""Loading of large libraries: without the garbage collector, and without what they load and nobody uses."""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


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


@contextmanager
def postpone(*names: str) -> Iterator[None]:
    """Let what is imported in the block load some modules only when it first uses them.

    Imports after the block are not affected.

    Args:
        names: Modules that are installed; those that are loaded already stay as they are.
    """
    postponed = {name: _Postponed(name) for name in names if name not in sys.modules}
    sys.modules.update(postponed)
    try:
        yield
    finally:
        for name, module in postponed.items():
            _remove(name, module)


class _Postponed(ModuleType):
    """Stands for a module, and loads it when an attribute is asked for."""

    def __getattr__(self, name: str) -> Any:
        _remove(self.__name__, self)
        return getattr(importlib.import_module(self.__name__), name)


def _remove(name: str, module: ModuleType) -> None:
    if sys.modules.get(name) is module:
        del sys.modules[name]
