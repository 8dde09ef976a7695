"""`${within:backbones}`, `${within:image_size}` and `${within:epochs}`: what fits into `best.minutes` here.

The three are found when settings are composed, by the project's forecast in a process of its own, and stand in
params.yaml from then on.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[2]
NAME = "within"
# Where each of the three stands.
PLACES = {
    "backbones": ("study", "backbones"),
    "image_size": ("preprocess", "image_size"),
    "epochs": ("train", "finetune", "default", "epochs"),
}
# Of each composition: all other settings, what stands in the three places, and what was found.
FOUND: list[tuple[str, dict[str, Any], dict[str, Any]]] = []


def find(key: str, *, _root_: Any) -> Any:
    """Return one of the three."""
    asked = _without_own(OmegaConf.to_container(_root_, resolve=False))
    settings: Any = OmegaConf.to_container(OmegaConf.create(asked), resolve=True)
    given = {name: _take(settings, places) for name, places in PLACES.items()}
    others = json.dumps(settings, sort_keys=True)
    # Settings are resolved one by one: the next question comes with earlier answers filled in.
    found = next((found for same, before, found in FOUND if same == others and _fits(given, before, found)), None)
    if found is None:
        found = _ask(json.loads(others), given)
        FOUND.append((others, given, found))
    value = found[key]
    return OmegaConf.create(value) if isinstance(value, list) else value


def _take(settings: Any, places: Sequence[str]) -> Any:
    """Take a value out of nested settings."""
    for place in places[:-1]:
        settings = settings[place]
    return settings.pop(places[-1], None)


def _put(settings: Any, places: Sequence[str], value: Any) -> None:
    for place in places[:-1]:
        settings = settings[place]
    settings[places[-1]] = value


def _fits(given: dict[str, Any], before: dict[str, Any], found: dict[str, Any]) -> bool:
    return all(
        value == before[name] or (before[name] is None and value == found[name]) for name, value in given.items()
    )


def _without_own(value: Any) -> Any:
    """Return settings with null where they ask for these numbers."""
    if isinstance(value, dict):
        return {name: _without_own(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_own(item) for item in value]
    return None if isinstance(value, str) and value.startswith(f"${{{NAME}:") else value


def _ask(settings: Any, given: dict[str, Any]) -> dict[str, Any]:
    for name, places in PLACES.items():
        _put(settings, places, given[name])
    done = subprocess.run(
        [sys.executable, "-m", "unfreeze.planning.best", str(settings["best"]["minutes"])],
        input=OmegaConf.to_yaml(OmegaConf.create(settings)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ValueError(
            "what fits into best.minutes could not be found, see above: give preprocess.image_size and "
            "train.finetune.default.epochs"
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


OmegaConf.register_new_resolver(NAME, find, replace=True)
