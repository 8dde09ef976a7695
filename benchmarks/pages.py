"""What the pages of results share: measurements that are kept, how pages are filled, the interval of an accuracy."""

import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
from scipy import stats

from benchmarks import inputs, measure
from benchmarks.inputs import Inputs
from unfreeze import files
from unfreeze.runtime import console

FOLDER = Path(__file__).parent
OTHERS = "other images, from another machine or other packages than these"


@contextmanager
def session(
    begin: Callable[[Inputs], dict[str, Any]], folder: Path, scratch: Path | None
) -> Iterator[tuple[Inputs, dict[str, Any], Path]]:
    """Begin to measure, or go on.

    Args:
        begin: Returns what was measured before.
        folder: Holds images, weights and the opponent's script.
        scratch: Where clones are made; the system's folder for temporary files by default.

    Yields:
        The inputs, what was measured of them before, and a folder for clones that is removed when the block ends.
    """
    console.configure_logging()
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-", dir=scratch) as clones:
        given = inputs.find(folder, Path(clones))
        yield given, begin(given), Path(clones)


def begin_of_kind(path: Path, given: Inputs, *, again: bool) -> dict[str, Any]:
    """Return the measurements of this kind of processor; those of other kinds stay beside them.

    Args:
        path: The file that holds them by kind.
        given: What is measured now.
        again: Whether those that are there are forgotten.

    Returns:
        `images`, `machine`, and what was measured of them before.
    """
    machine = measure.machine()
    here = {"images": given.name, "machine": machine}
    of_kinds = files.read_json(path) if path.exists() else {}
    found = None if again else of_kinds.get(machine["processor"])
    results = found or here
    expect_same(results, here, f"{path.name} holds results of {OTHERS}: begin anew with --again")
    return results


def keep_of_kind(path: Path, results: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the measurements of this kind of processor beside those of other kinds.

    Args:
        path: The file that holds them by kind.
        results: Those of this kind.

    Returns:
        The measurements of all kinds.
    """
    of_kinds = files.read_json(path) if path.exists() else {}
    of_kinds[results["machine"]["processor"]] = results
    files.write_json(path, of_kinds)
    return [of_kinds[kind] for kind in sorted(of_kinds)]


def begun(path: Path, given: Inputs) -> dict[str, Any]:
    """Return the measurements that are there; those of other images or another machine are not mixed in.

    Args:
        path: The file that holds them.
        given: What is measured now.

    Returns:
        `images`, `machine`, and what was measured of them before.
    """
    here = {"images": given.name, "machine": measure.machine()}
    results = files.read_json(path) if path.exists() else here
    expect_same(results, here, f"{path.name} holds results of {OTHERS}: remove it to begin anew")
    return results


def expect_same(results: Mapping[str, Any], here: Mapping[str, Any], refusal: str) -> None:
    """End the program where measurements were made under other conditions than these.

    Args:
        results: The measurements, with the conditions.
        here: The conditions now, by name.
        refusal: What is said then, and what to do.
    """
    if {name: results[name] for name in here} != here:
        sys.exit(f"error: {refusal}")


def write(template: str, target: Path, values: dict[str, Any]) -> None:
    """Fill a template of this folder.

    Args:
        template: Its name.
        target: The page.
        values: What it shows; a mistyped name is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    files.write_text(target, environment.get_template(template).render(values))


def average(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean, with half of its 95 % interval by Student's t; None for one value."""
    if len(values) == 1:
        return values[0], None
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), float(half)


def half_width(*accuracies: float, images: int) -> float:
    """Return half of the 95 % interval of an accuracy, or of the difference of two; normal approximation.

    Args:
        accuracies: One or two, each on as many images of its own.
        images: Number of images.
    """
    return 1.96 * math.sqrt(sum(accuracy * (1 - accuracy) / images for accuracy in accuracies))
