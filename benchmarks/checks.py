"""Measure the checks: images a second, and a manifest of a million rows, into checks.md.

python -m benchmarks.checks [--inputs FOLDER]
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import inputs, measure, pipeline
from unfreeze import files
from unfreeze.checks import gate, rules
from unfreeze.checks.image_check import load_image_checks
from unfreeze.paths import Paths
from unfreeze.runtime import console
from unfreeze.settings.params import load

PAGE = Path(__file__).with_name("checks.md")
IMAGES = 10_000
ROWS = 1_000_000
# Of each check so many rows are findings: a gate has more to do where it finds something.
SHARE_FOUND = 0.01

TEXT = """# How long the checks take

Written by `make bench-checks`. {machine}.

| what | measured | target |
|---|---|---|
| {images:,} photographs checked by `unfreeze check`, with its start, images a second | {images_a_second:.0f} | 200 |
| its largest process, MB | {check_mb:.0f} | |
| the manifest of {rows:,} rows validated, with 1 % of findings of each check, seconds | {rows_seconds:.0f} | 120 |
| memory of that, GB | {rows_gb:.1f} | 4 |
"""


def main() -> None:
    """Measure and write the page."""
    options = _options()
    console.configure_logging()
    if options.rows:
        validate_rows(Paths(options.rows))
        return
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-", dir=options.scratch) as folder:
        scratch = Path(folder)
        given = inputs.find(options.inputs, scratch)
        images = inputs.enlarged(given.images, IMAGES, scratch / "images")
        paths = pipeline.clone(scratch / "checks", pipeline.settings_of(given.cases[0], images))
        measure.run(["unfreeze", "download"], folder=paths.root)
        checked = measure.run(["unfreeze", "check"], folder=paths.root)
        command = [sys.executable, "-m", "benchmarks.checks", "--rows", str(scratch / "rows")]
        validated = measure.run(command, folder=inputs.ROOT)
    text = TEXT.format(
        machine=", ".join(measure.machine().values()),
        images=IMAGES,
        images_a_second=IMAGES / checked.seconds,
        check_mb=checked.peak_mb,
        rows=ROWS,
        rows_seconds=validated.seconds,
        rows_gb=validated.peak_mb / 1024,
    )
    files.write_text(PAGE, text)


def validate_rows(paths: Paths) -> None:
    """Let the gate judge a generated manifest."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"path": [f"class/{number:07}.jpg" for number in range(ROWS)], "label": "class"})
    rows["width"], rows["height"] = random.integers(100, 4000, (2, ROWS))
    for name in load_image_checks():
        rows[name] = random.random(ROWS) < SHARE_FOUND
    settings = load(inputs.ROOT / "params.yaml").checks.model_copy(update={"on_bad": "quarantine"})
    gate.validate("manifest", rows, rules.guard_manifest(settings.select(load_image_checks())), paths)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checks", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, default=Path("inputs"), help="folder with images, weights, opponent")
    parser.add_argument("--scratch", type=Path, help="where images are made; a GB")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
