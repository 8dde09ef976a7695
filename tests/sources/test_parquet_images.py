"""Parquet files that hold their images, as Hugging Face's data sets do."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sources.layouts import read, refusal_of
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import collect
from unfreeze.sources.inspection import inspect

JPEG = b"\xff\xd8\xff\xe0"
FEATURES = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}


def write(file: Path, labels: list[int], names: list[str | None], **columns: list[object]) -> Path:
    """Write a file of images, each of other bytes, whose classes have names in its metadata."""
    images = [{"bytes": JPEG + bytes([number]), "path": name} for number, name in enumerate(names)]
    table = pa.table({"image": images, "label": labels, **columns})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(FEATURES)}), file)
    return file


def folder(path: Path) -> FolderSource:
    return FolderSource(kind="folder", name="x", source=str(path), watch=str(path))


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """Return a folder with two training files and one of tests."""
    write(tmp_path / "set/data/train-00000-of-00002.parquet", [0, 1], ["a.jpg", "b.jpg"])
    write(tmp_path / "set/data/train-00001-of-00002.parquet", [1, 0], ["c.jpg", "d.jpg"])
    write(tmp_path / "set/data/test-00000-of-00001.parquet", [1, 0], [None, None])
    return tmp_path / "set"


def test_images_come_out_with_labels_and_folds(splits: Path, tmp_path: Path) -> None:
    collected = collect.collect(folder(splits), tmp_path / "raw", downloads=tmp_path / "downloads")
    rows = [tuple(row) for row in collected.index[["path", "label", "fold"]].values]
    assert rows == [
        ("data/test-00000-of-00001/000000.jpg", "dog", "test"),
        ("data/test-00000-of-00001/000001.jpg", "cat", "test"),
        ("data/train-00000-of-00002/a.jpg", "cat", "train"),
        ("data/train-00000-of-00002/b.jpg", "dog", "train"),
        ("data/train-00001-of-00002/c.jpg", "dog", "train"),
        ("data/train-00001-of-00002/d.jpg", "cat", "train"),
    ]
    assert (tmp_path / "raw/data/train-00000-of-00002/b.jpg").read_bytes() == JPEG + b"\1"
    assert collected.bytes == 6 * 5


def test_counts_add_up(splits: Path) -> None:
    layout = read(splits)
    assert (layout.seen, len(layout.index)) == (9, 6)
    assert "files give the folds" in layout.explanation


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    file = write(tmp_path / "pets.parquet", [0, 1], ["a.jpg", "b.jpg"], patient_id=["p1", "p2"])
    write(tmp_path / "others.parquet", [1, 1], ["a.jpg", "b.jpg"])
    collect.check_reachable(folder(file))
    collected = collect.collect(folder(file), tmp_path / "raw", downloads=tmp_path / "downloads")
    assert collected.index.values.tolist() == [["pets/a.jpg", "cat", "p1"], ["pets/b.jpg", "dog", "p2"]]
    found = inspect(str(file))
    assert found.settings == ["data=folder", f"data.source={file}"] and found.groups == 2


def test_a_row_without_bytes_is_named(tmp_path: Path) -> None:
    table = pa.table({"image": [{"bytes": JPEG}, {"bytes": None}], "label": ["x", "y"]})
    (tmp_path / "set").mkdir()
    pq.write_table(table, tmp_path / "set/a.parquet")
    with pytest.raises(collect.UnfreezeError, match=r"a.parquet holds no bytes for 'a/000001.jpg'"):
        collect.collect(folder(tmp_path / "set"), tmp_path / "raw", downloads=tmp_path / "downloads")


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({"image": [JPEG, JPEG]}), tmp_path / "set/a.parquet")
    assert "no images in Parquet: no column is surely the label" in refusal_of(tmp_path / "set")
