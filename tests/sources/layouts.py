"""Small trees of files, and what they mean: made here, so that tests of layouts need no images."""

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unfreeze.errors import UnfreezeError
from unfreeze.sources.inventory import list_source
from unfreeze.sources.layout import Layout
from unfreeze.sources.recognise import recognise

ANIMALS = ("cat", "dog")


@dataclass(frozen=True)
class Image:
    """One image: its path, and its label and fold if it has them."""

    path: str
    label: str
    fold: str = ""


@dataclass(frozen=True)
class Tree:
    """Files of a source and what they mean.

    Args:
        truth: The images that count.
        files: Other files, with their content.
    """

    truth: Sequence[Image]
    files: dict[str, bytes] = field(default_factory=dict)

    def write(self, root: Path) -> Path:
        for path, content in {**{image.path: b"" for image in self.truth}, **self.files}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        return root

    @property
    def meaning(self) -> list[tuple[str, str, str]]:
        return sorted((image.path, image.label, image.fold) for image in self.truth)


def pack(content: dict[str, bytes]) -> bytes:
    """Return a zip archive of files by their paths."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    return packed.getvalue()


def spread(
    template: str, labels: Iterable[str] = ANIMALS, folds: dict[str, str] | None = None, count: int = 3
) -> list[Image]:
    """Return images whose paths follow a template of {label}, {fold} (the folder) and {n}, a number.

    Numbers go on from class to class; `folds` gives the fold that each folder means.
    """
    made = []
    for fold in folds or {"": ""}:
        for label in labels:
            for _ in range(count):
                path = template.format(label=label, fold=fold, n=len(made))
                made.append(Image(path, label, (folds or {"": ""})[fold]))
    return made


def write_csv(rows: Iterable[Sequence[object]], delimiter: str = ",", **options: object) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n", **options).writerows(rows)  # type: ignore[arg-type]
    return stream.getvalue()


def write_lines(images: Iterable[Image], **names: str) -> str:
    """Return JSON Lines; `names` gives the key of each attribute of an image."""
    return "".join(json.dumps({key: getattr(image, name) for name, key in names.items()}) + "\n" for image in images)


def read(root: Path) -> Layout:
    """Recognise a folder, and check that its counts add up: no file is lost, and none counted twice."""
    listing = list_source(root, "mine")
    layout = recognise(listing)
    left_out = [path for paths in layout.left_out.values() for path in paths]
    assert layout.seen == len(layout.index) + len(left_out)
    assert len(set(left_out)) == len(left_out)
    if layout.unpack is None:
        files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
        assert sorted([*layout.paths, *left_out]) == sorted(files)
    return layout


def meaning_of(layout: Layout) -> list[tuple[str, str, str]]:
    """Return path, label and fold of each image."""
    folds = layout.index["fold"].tolist() if "fold" in layout.index else [""] * len(layout.index)
    return sorted(zip(layout.paths, layout.index["label"].tolist(), folds, strict=True))


def refusal_of(root: Path) -> str:
    """Return why a folder is refused; empty if it is not."""
    try:
        read(root)
    except UnfreezeError as error:
        message = str(error)
        assert "\n" not in message and len(message) < 1500
        return message
    return ""
