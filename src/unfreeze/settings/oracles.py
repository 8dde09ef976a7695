"""The registry of oracles, each of which can choose the trials of a search."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unfreeze.errors import UnfreezeError
from unfreeze.runtime.plugins import load_entries

Build = Callable[[int], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Oracle:
    """One way to choose trials.

    Args:
        name: Its name in `search.oracle`.
        build: Takes the most epochs a trial may have; returns KerasTuner's class of the oracle and arguments for its
            constructor beside objective, seed and limits on failed trials. It imports KerasTuner when it is called.
        resumes_trials: Whether it ends trials after fewer epochs and goes on with the best of them.
    """

    name: str
    build: Build
    resumes_trials: bool


_ORACLES: dict[str, Oracle] = {}


def register(name: str, *, resumes_trials: bool = False) -> Callable[[Build], Build]:
    """Return a decorator that registers a function as an oracle's `build`.

    Args:
        name: The oracle's name in `search.oracle`.
        resumes_trials: Whether it ends trials after fewer epochs and goes on with the best of them.

    Raises:
        UnfreezeError: The name is in use.
    """
    if name in _ORACLES:
        raise UnfreezeError(f"oracle {name!r} is registered twice: choose another name")

    def add(build: Build) -> Build:
        _ORACLES[name] = Oracle(name, build, resumes_trials)
        return build

    return add


def find_oracle(name: str) -> Oracle:
    """Return a registered oracle.

    Args:
        name: As in `search.oracle`.

    Raises:
        ValueError: There is none of this name.

    >>> find_oracle("hyperband").resumes_trials
    True
    >>> find_oracle("bayes")
    Traceback (most recent call last):
    ValueError: no such oracle, did you mean 'bayesian'? Known are bayesian, grid, hyperband, random
    """
    load_entries("oracles", "unfreeze.search.oracles")
    if name not in _ORACLES:
        close = difflib.get_close_matches(name, _ORACLES, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ":"
        raise ValueError(f"no such oracle{hint} Known are {', '.join(sorted(_ORACLES))}")
    return _ORACLES[name]
