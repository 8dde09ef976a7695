"""The comparison as one HTML file that loads nothing."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfreeze import rendering
from unfreeze.report.text import TITLES, cells, summary


def page(comparison: dict[str, Any], pictures: Mapping[str, Path], links: Mapping[str, str]) -> str:
    """Return the report as one HTML file that loads nothing.

    Args:
        comparison: The content of reports/comparison.json.
        pictures: PNG files by title.
        links: Addresses of other pages by title, relative to this one.
    """
    return rendering.page(
        "report.html.j2",
        comparison=comparison,
        summary=summary(comparison),
        titles=TITLES,
        rows=[cells(row) for row in comparison["rows"]],
        links=list(links.items()),
        pictures={title: base64.b64encode(path.read_bytes()).decode() for title, path in pictures.items()},
    )
