"""A page of findings with thumbnails, for people: one HTML file that loads nothing."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from unfreeze import rendering
from unfreeze.checks import corrections
from unfreeze.checks.catalogue import Explanation
from unfreeze.checks.corrections import Correction
from unfreeze.images import decoding, jpeg
from unfreeze.images.originals import Originals

THUMBNAIL_SIDE = 128
# Most groups of findings shown for a check; all are in the table that the page names.
MOST_GROUPS = 24
MOST_IN_GROUP = 8
MOST_ROWS = 100


@dataclass(frozen=True)
class CorrectableImage:
    """What a correction of an image needs to know.

    Args:
        sha256: SHA-256 of its file.
        label: Its label.
        can_keep: Whether to find that label right waives the finding.
    """

    sha256: str
    label: str
    can_keep: bool


@dataclass(frozen=True)
class Card:
    """One image of a finding.

    Args:
        path: Its path below the root of the images.
        lines: Text below it.
        has_picture: Whether it can be decoded.
        image: What its buttons correct; without it there are none.
    """

    path: str
    lines: Sequence[str]
    has_picture: bool = True
    image: CorrectableImage | None = None


@dataclass(frozen=True)
class Editor:
    """What a page needs to hand out the file of corrections.

    Args:
        labels: The labels that an image can get.
        corrections: What the file holds already.
    """

    labels: Sequence[str]
    corrections: Sequence[Correction]

    def to_json(self) -> dict[str, Any]:
        """Return it for the page's script."""
        known = [correction.model_dump(mode="json") for correction in self.corrections]
        return {"columns": corrections.COLUMNS, "labels": list(self.labels), "corrections": known}


@dataclass(frozen=True)
class Section:
    """Findings of one check.

    Args:
        check: Name of the check.
        explanation: Its title, meaning and remedy.
        level: What a finding does: error or warning.
        images: Number of images found, without the waived ones.
        waived: Number of waived findings.
        groups: The images, copies in one group, the worst first.
    """

    check: str
    explanation: Explanation
    level: str
    images: int
    waived: int
    groups: Sequence[Sequence[Card]]


@dataclass(frozen=True)
class Table:
    """A small table of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, title: str, frame: pd.DataFrame) -> "Table":
        """Return the text of a data frame's first rows, numbers to three digits."""
        rows = [
            [f"{value:.3g}" if isinstance(value, float) else str(value) for value in row]
            for row in frame.head(MOST_ROWS).itertuples(index=False)
        ]
        more = f" (the first {MOST_ROWS} of {len(frame):,})" if len(frame) > MOST_ROWS else ""
        return cls(title + more, list(frame.columns), rows)


def render_page(
    title: str,
    intro: str,
    sections: Sequence[Section],
    tables: Sequence[Table],
    *,
    images: Originals,
    max_pixels: int,
    links: Iterable[tuple[str, str]],
    editor: Editor,
) -> str:
    """Return the page of findings as HTML.

    Args:
        title: Its heading.
        intro: Sentence on the images that were checked.
        sections: Findings of each check.
        tables: Further tables.
        images: The image files.
        max_pixels: Most pixels an image may have to be shown.
        links: Title and address of other pages, addresses relative to this one.
        editor: What corrections start from.
    """
    shown = [
        (section, [(group[:MOST_IN_GROUP], len(group[MOST_IN_GROUP:])) for group in section.groups[:MOST_GROUPS]])
        for section in sections
        if section.groups
    ]
    thumbnails = {
        card.path: encode_thumbnail(images.read(card.path), max_pixels)
        for _, groups in shown
        for group, _ in groups
        for card in group
        if card.has_picture
    }
    script = rendering.render_page("corrections.js.j2")
    return rendering.render_page(
        "findings.html.j2",
        editor=editor.to_json(),
        # The project's own: nothing in it comes from the images.
        script=Markup(script),  # noqa: S704
        digest=rendering.hash_script(script),
        title=title,
        intro=intro,
        sections=sections,
        shown=shown,
        tables=tables,
        pictures=thumbnails,
        links=list(links),
    )


def encode_thumbnail(file: Path | bytes, max_pixels: int) -> str:
    """Return a small version of an image as JPEG in base64, for a data address.

    Args:
        file: The file, or its bytes.
        max_pixels: Most pixels it may have, width times height.
    """
    rgb = decoding.open_image(file, max_pixels=max_pixels).rgb
    return base64.b64encode(jpeg.encode(rgb, side=THUMBNAIL_SIDE)).decode()
