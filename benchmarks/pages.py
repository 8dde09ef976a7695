"""What the pages of results share: measurements that are kept, how pages are filled, the interval of an accuracy."""

import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2

from benchmarks import inputs, measure
from benchmarks.inputs import Inputs
from unfreeze import files
from unfreeze.runtime import console

FOLDER = Path(__file__).parent


@contextmanager
def session(path: Path, folder: Path, scratch: Path | None) -> Iterator[tuple[Inputs, dict[str, Any], Path]]:
    """Begin to measure, or go on.

    Args:
        path: The file that holds the measurements.
        folder: Holds images, weights and the opponent's script.
        scratch: Where clones are made; the system's folder for temporary files by default.

    Yields:
        The inputs, what was measured of them before, and a folder for clones that is removed when the block ends.
    """
    console.configure_logging()
    with tempfile.TemporaryDirectory(prefix="unfreeze-bench-", dir=scratch) as clones:
        given = inputs.find(folder, Path(clones))
        yield given, begun(path, given), Path(clones)


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
    if {name: results[name] for name in here} != here:
        sys.exit(
            f"error: {path.name} holds results of {results['images']}, from another machine or other packages than "
            "these: remove it to begin anew"
        )
    return results


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


def half_width(*accuracies: float, images: int) -> float:
    """Return half of the 95 % interval of an accuracy, or of the difference of two; normal approximation.

    Args:
        accuracies: One or two, each on as many images of its own.
        images: Number of images.
    """
    return 1.96 * math.sqrt(sum(accuracy * (1 - accuracy) / images for accuracy in accuracies))
