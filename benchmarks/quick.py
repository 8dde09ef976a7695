"""A short form of `make bench`, to run before and after a change: one small study, and the rates of single steps.

    python -m benchmarks.quick [--inputs FOLDER]

Each run is kept in .dvc/tmp/bench/quick.json and compared with the last one of another commit on this kind of
processor. Single runs differ by a tenth on a machine that does something else meanwhile.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import inputs, measure, pipeline
from benchmarks.peers import full_depth
from unfreeze import files
from unfreeze.runtime import console

KEPT = inputs.ROOT / ".dvc/tmp/bench/quick.json"


def main() -> None:
    """Measure, keep and compare."""
    console.configure_logging()
    options = _options()
    kept = files.read_json(KEPT) if KEPT.exists() else []
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-", dir=options.scratch) as scratch:
        given = inputs.find(options.inputs, Path(scratch))
        now = {
            "commit": pipeline.name_commit(),
            "processor": measure.machine()["processor"],
            "images": given.name,
            "values": _measure(given, Path(scratch)),
        }
    files.write_json(KEPT, [*kept, now])
    sys.stdout.write(tabulate(now, find_before(now, kept)))


def find_before(now: Mapping[str, Any], kept: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the last measurement of another commit that can be compared; None if there is none.

    Args:
        now: What was just measured.
        kept: Earlier measurements, oldest first.
    """
    alike = [
        run
        for run in kept
        if run["commit"] != now["commit"] and all(run[name] == now[name] for name in ("processor", "images"))
    ]
    return alike[-1] if alike else None


def tabulate(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """Return a table of what was measured, beside what was measured before.

    Args:
        now: What was just measured.
        before: What it is compared with.
    """
    earlier = before["values"] if before else {}
    lines = [f"{'':44}{now['commit']:>14}{before['commit'] if before else '':>14}{'ratio' if before else '':>8}"]
    for name, value in now["values"].items():
        line = f"{name:44}{value:14.1f}"
        if earlier.get(name):
            line += f"{earlier[name]:14.1f}{value / earlier[name]:8.2f}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _measure(given: inputs.Inputs, scratch: Path) -> dict[str, float]:
    """Return seconds of a study and its stages, and images a second of single steps, by name."""
    case = given.cases[-1]
    settings = [*pipeline.SETTINGS, *pipeline.settings_of(case, given.images)]
    paths = pipeline.clone(scratch / case.name, settings)
    outcome = pipeline.run(paths, case)
    limits = pipeline.measure_limits(paths, case)
    return {
        f"study of {case.title}, s": outcome.run.seconds,
        "  processor time, s": outcome.run.processor_seconds,
        **{f"  {name}, s": seconds for name, seconds in outcome.stages.items()},
        **{f"  {part} of all stages, s": _sum_parts(outcome, part) for part in ("start", "work")},
        "largest process, MB": outcome.run.peak_mb,
        "engine, images/s": limits["images_per_second"]["engine in memory"],
        "extraction, images/s": limits["images_per_second"]["extraction"],
        f"training from {case.point}, images/s": limits["trainer_images_per_second"],
        "training from all, images/s": full_depth.measure_ours(case.name, case.precision),
        "preprocessing, s": limits["preprocess_seconds"]["this pipeline"],
    }


def _sum_parts(outcome: pipeline.Outcome, part: str) -> float:
    return sum(parts[part] for parts in outcome.parts.values())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quick", description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=Path, default=Path("inputs"), help="folder with images and weights")
    parser.add_argument("--scratch", type=Path, help="where the clone is made; 2 GB")
    return parser.parse_args()


if __name__ == "__main__":
    main()
