"""How many images a study has, before they are brought."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.planning.test_forecast import measured
from unfreeze.planning.scale import find_extent
from unfreeze.settings.sources import ArchiveSource, FolderSource, WheelSource

DATA = {"name": "mine", "source": "images", "watch": "images"}


def count(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*.png"))


def test_a_folder_and_an_archive_are_counted_by_names(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    folder = make_images(tmp_path / "images", images=3)
    (folder / "red/notes.txt").write_text("no image")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    packed = shutil.make_archive(str(tmp_path / "packed"), "gztar", folder)
    sources = [
        FolderSource(kind="folder", **{**DATA, "source": str(folder)}),
        *(ArchiveSource(kind="archive", **{**DATA, "source": path}) for path in (archive, packed)),
    ]
    assert [find_extent(source, {}, None, []) for source in sources] == [(6, count(folder))] * 3


def test_what_is_elsewhere_is_known_from_the_lock_or_from_an_earlier_run() -> None:
    data: dict[str, Any] = {**DATA, "kind": "wheel", "sha256": "0" * 64}
    wheel = WheelSource.model_validate(data)
    lock = {"params": {"params.yaml": {"data": data}}, "outs": [{"path": "data/raw", "nfiles": 20, "size": 900}]}
    assert find_extent(wheel, data, lock, []) == (20, 900)
    other = {**lock, "params": {"params.yaml": {"data": {**data, "source": "other"}}}}
    assert find_extent(wheel, data, other, []) is None
    earlier = measured(stage="download", images=7, raw_bytes=70, settings={"data": data})
    assert find_extent(wheel, data, other, [earlier]) == (7, 70)


def test_images_in_place_are_counted_where_they_are_and_not_in_the_lock(
    tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    folder = make_images(tmp_path / "images", images=3)
    data: dict[str, Any] = {**DATA, "kind": "folder", "source": str(folder), "in_place": True}
    # The one file of data/raw names the folder.
    lock = {"params": {"params.yaml": {"data": data}}, "outs": [{"path": "data/raw", "nfiles": 1, "size": 40}]}
    assert find_extent(FolderSource.model_validate(data), data, lock, []) == (6, count(folder))
