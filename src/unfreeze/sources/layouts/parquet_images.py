"""Parquet files that hold images and labels, as data sets of Hugging Face do: train-00000-of-00002.parquet."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from unfreeze.errors import UnfreezeError
from unfreeze.sources.file_types import find_format_of, get_suffix, is_hidden
from unfreeze.sources.fold_words import find_fold
from unfreeze.sources.inventory import Listing
from unfreeze.sources.layout import DoesNotFitError, Layout, Reading, register
from unfreeze.sources.messages import require_none
from unfreeze.sources.table_columns import Columns, find_columns
from unfreeze.sources.table_files import PARQUET, list_image_columns, make_text, read_parquet

# Rows in memory at a time when images are written.
BATCH = 64
SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG 2000": ".jp2"}


@dataclass(frozen=True)
class _File:
    """One file of images.

    Args:
        path: Its path in the source.
        image_column: Column of the images, bytes or a structure that holds `bytes`.
        is_struct: Whether it is a structure.
        names: What each image is called here.
        columns: Labels, groups and folds.
    """

    path: str
    image_column: str
    is_struct: bool
    names: list[str]
    columns: Columns


def read(listing: Listing) -> Layout | None:
    """Take images and labels from the Parquet files of a source.

    Raises:
        DoesNotFitError: They hold images and no labels that are sure.
        UnfreezeError: Rows have no label.
    """
    found = [
        file for path in listing.others if get_suffix(path) in PARQUET for file in _read_file(listing.root, path)
    ]
    if not found:
        return None
    index = pd.concat([_make_rows(file) for file in found], ignore_index=True)
    blank = index["path"][index["label"].str.strip() == ""]
    require_none(list(blank), listing.name, "images without a label", "give each one, or take its row out")
    index = index.drop(
        columns=[name for name in ("group", "fold") if len({*index[name]} - {""}) < (name == "fold") + 1]
    )
    first = found[0]
    by_fold = "; files give the folds" if "fold" in index else ""
    return Layout(
        "images in Parquet",
        f"images in column {first.image_column!r} and labels in column {first.columns.label_column!r} of "
        f"{len(found)} Parquet file{'s' if len(found) > 1 else ''}{by_fold}",
        "",
        index.sort_values("path", ignore_index=True),
        {},
        {"holds images, which are taken out of it": tuple(file.path for file in found)},
        unpack=partial(_unpack, listing.root, found),
    )


def _read_file(root: Path, path: str) -> Iterator[_File]:
    """Yield what a file holds, if it holds images."""
    import pyarrow.parquet

    try:
        images = list_image_columns(root / path)
        schema = pyarrow.parquet.read_schema(root / path)
    except (OSError, ValueError):
        return
    if not images:
        return
    # A structure says itself that it is an image; other bytes beside it are not.
    if any(images.values()):
        images = {name: is_struct for name, is_struct in images.items() if is_struct}
    if len(images) > 1:
        raise DoesNotFitError(f"{path} holds several columns of images ({', '.join(images)})")
    column, is_struct = next(iter(images.items()))
    rest = [name for name in schema.names if name != column]
    rows = make_text(read_parquet(root / path, columns=rest))
    classes = _read_class_names(schema.metadata or {})
    for name in rest:
        if name in classes:
            rows[name] = [_name_class(text, classes[name]) for text in rows[name]]
    yield _File(path, column, is_struct, _name_images(root / path, path, column, is_struct), find_columns(rows, []))


def _make_rows(file: _File) -> pd.DataFrame:
    count = len(file.names)
    fold = _find_fold_of_file(file.path) or ""
    return pd.DataFrame(
        {
            "path": file.names,
            "label": file.columns.label,
            "group": file.columns.group or [""] * count,
            "fold": file.columns.fold or [fold] * count,
        },
        dtype=str,
    )


def _find_fold_of_file(path: str) -> str | None:
    """Return the fold that a file's name, or a folder that it lies in, means."""
    stem = re.sub(r"-\d+(-of-\d+.*)?$", "", PurePosixPath(path).stem)
    return next((fold for part in (stem, *reversed(path.split("/")[:-1])) if (fold := find_fold(part))), None)


def _read_class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of classes by column, which Hugging Face notes in a file for numbers."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: list(kind["names"]) for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _name_class(text: str, names: list[str]) -> str:
    return names[int(text)] if text.isdigit() and int(text) < len(names) else text


def _name_images(file: Path, path: str, column: str, is_struct: bool) -> list[str]:
    """Return a path for each image: by its own name where all have different ones, else by number."""
    import pyarrow.parquet

    stem = path.rpartition(".")[0]
    with pyarrow.parquet.ParquetFile(file) as opened:
        count = opened.metadata.num_rows
        given: list[Any] = []
        if is_struct and opened.schema_arrow.field(column).type.get_field_index("path") >= 0:
            values = opened.read(columns=[f"{column}.path"]).column(0).to_pylist()
            given = [PurePosixPath((value or {}).get("path") or "").name for value in values]
        first = next(opened.iter_batches(1, columns=[column]), None)
        suffix = _find_suffix(first.column(0).to_pylist()[0] if first is not None and first.num_rows else None)
    if len({name.casefold() for name in given}) == count and all(name and not is_hidden(name) for name in given):
        return [f"{stem}/{name}" for name in given]
    return [f"{stem}/{number:06}{suffix}" for number in range(count)]


def _find_suffix(value: Any) -> str:
    data = value.get("bytes") if isinstance(value, dict) else value
    found = find_format_of(data or b"")
    return SUFFIX_OF_FORMAT.get(found, f".{found.lower()}") if found else ".png"


def _unpack(root: Path, found: list[_File], target: Path) -> None:
    """Write the images into a folder, under the names of the index."""
    import pyarrow.parquet

    for file in found:
        names = iter(file.names)
        with pyarrow.parquet.ParquetFile(root / file.path) as opened:
            for batch in opened.iter_batches(BATCH, columns=[file.image_column]):
                for value in batch.column(0).to_pylist():
                    name = next(names)
                    data = value.get("bytes") if isinstance(value, dict) else value
                    if not data:
                        raise UnfreezeError(f"{file.path} holds no bytes for {name!r}: take its row out")
                    (target / name).parent.mkdir(parents=True, exist_ok=True)
                    (target / name).write_bytes(data)


register(Reading("images in Parquet", read))
