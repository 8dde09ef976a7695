"""`${within:image_size}` and `${within:epochs}` in a preset: what fits into `best.minutes` on this machine.

The numbers are found when settings are composed, by the project's forecast in a process of its own, and stand in
params.yaml from then on.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[2]
NAME = "within"
# The fit for settings, as JSON: each number asks for the same one.
FOUND: dict[str, dict[str, int]] = {}


def find(key: str, *, _root_: Any) -> int:
    """Return one of the two numbers."""
    settings = _without_own(OmegaConf.to_container(_root_, resolve=False))
    if _name(settings) not in FOUND:
        found = _ask(settings)
        filled = {**settings, "preprocess": {**settings["preprocess"], "image_size": found["image_size"]}}
        # Settings are resolved one by one: the next question comes with the first answer filled in.
        FOUND[_name(settings)] = FOUND[_name(filled)] = found
    return FOUND[_name(settings)][key]


def _name(settings: Any) -> str:
    return json.dumps(settings, sort_keys=True)


def _without_own(value: Any) -> Any:
    """Return settings with null where they ask for these numbers."""
    if isinstance(value, dict):
        return {name: _without_own(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_own(item) for item in value]
    return None if isinstance(value, str) and value.startswith(f"${{{NAME}:") else value


def _ask(settings: Any) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "unfreeze.planning.budget", str(settings["best"]["minutes"])],
        input=OmegaConf.to_yaml(OmegaConf.create(settings), resolve=True),
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
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


OmegaConf.register_new_resolver(NAME, find, replace=True)
