"""How time and memory grow with the number of images."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import pipeline
from benchmarks.inputs import Case, enlarged

COUNTS = (1000, 2000, 4000, 25000)


def measure(case: Case, images: Path, scratch: Path, count: int) -> dict[str, Any]:
    """Run the whole pipeline over so many images once."""
    more = enlarged(images, count, scratch / f"images_{count}")
    paths = pipeline.clone(scratch / "growth", [*pipeline.SETTINGS, *pipeline.settings_of(case, more)])
    outcome = pipeline.run(paths, case)
    return {"images": count, "seconds": outcome.run.seconds, "peak_mb": outcome.run.peak_mb}


def fit(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the line through the times, and how far they and the memory leave proportion.

    Args:
        rows: `images`, `seconds` and `peak_mb` of each run.

    Returns:
        `start_seconds`, `seconds_per_image`; `largest_deviation` of a time from the line, as a share of it;
        `memory_ratio` of the most to the fewest images.
    """
    rows = sorted(rows, key=lambda row: row["images"])
    images, seconds = (np.array([row[name] for row in rows], dtype=float) for name in ("images", "seconds"))
    # Each time counts by its share: the largest run would otherwise hide the others.
    slope, start = np.polyfit(images, seconds, 1, w=1 / seconds)
    line = start + slope * images
    return {
        "start_seconds": float(start),
        "seconds_per_image": float(slope),
        "largest_deviation": float(np.abs(seconds / line - 1).max()),
        "memory_ratio": rows[-1]["peak_mb"] / rows[0]["peak_mb"],
    }
