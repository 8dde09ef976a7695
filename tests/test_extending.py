"""The walk-throughs of the guides, as somebody follows them who adds one entry of each kind to a checkout."""

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT

# The registries live as long as a process, so these entries are loaded in another one.
LIST = """
import json
from unfreeze.checks.image_check import load_image_checks
from unfreeze.evaluation.metric_registry import list_metrics
from unfreeze.figures.registry import load_charts
from unfreeze.settings.oracles import find_oracle
from unfreeze.sources import kind
from unfreeze.sources.layout import load_readings
from unfreeze.runtime.plugins import load_entries
from unfreeze.sources.array_kind import load_array_kinds
load_entries("sources", "unfreeze.sources.kinds")
print(json.dumps({
    "image_checks": list(load_image_checks()),
    "metrics": [metric.name for metric in list_metrics()],
    "charts": list(load_charts().of_backbone),
    "oracles": [find_oracle("mine").name],
    "sources": [settings.__name__ for settings in kind._KINDS],
    "array_kinds": [kind.name for kind in load_array_kinds()],
    "layouts": [reading.name for reading in load_readings()],
}))
"""


def test_one_entry_of_each_kind_is_added_from_outside(tmp_path: Path) -> None:
    for guide in ("docs/architecture.md", "docs/checks.md"):
        text = (PROJECT / guide).read_text()
        for name, code in re.findall(
            r"`(plugins/\w+/\w+\.py)`(?:(?!`plugins/).)*?```python\n(.*?)```", text, re.DOTALL
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(code)
    done = subprocess.run([sys.executable, "-c", LIST], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    added = {
        "image_checks": "too_red",
        "metrics": "sensitivity",
        "charts": "classes",
        "oracles": "mine",
        "sources": "PrefixedSource",
        "array_kinds": "MATLAB",
        "layouts": "labels behind dashes",
    }
    assert {kind: name for kind, name in added.items() if name in found[kind]} == added
