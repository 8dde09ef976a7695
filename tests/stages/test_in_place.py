"""Images that stay in the user's folder: same results as with copies, and changes there are noticed."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.conftest import compose, draw
from unfreeze import files
from unfreeze.checks import image_check
from unfreeze.checks.raw_images import find_image
from unfreeze.cluster.launch import make_cluster
from unfreeze.errors import UnfreezeError
from unfreeze.images.originals import Originals
from unfreeze.paths import Paths
from unfreeze.settings.sources import FolderSource
from unfreeze.settings.stage_settings import select
from unfreeze.sources import collect
from unfreeze.stages import check, download, preprocess, split

REMEDY = "dvc repro --force download"


@pytest.fixture
def photos(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    """Return a folder with ten images of each of two classes, one of them twice, and a text."""
    folder = make_images(tmp_path / "photos", images=10, side=200)
    shutil.copy(folder / "red/000.png", folder / "red/copy.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def placed(tmp_path: Path, photos: Path) -> Paths:
    """Return a checkout that has listed the images in place."""
    paths = Paths(tmp_path / "placed")
    bring(photos, paths)
    return paths


def bring(source: Path | str, paths: Paths, *, in_place: bool = True) -> None:
    data = FolderSource(kind="folder", name="mine", source=str(source), watch="-", in_place=in_place)
    download.run(SimpleNamespace(data=data), paths)  # type: ignore[arg-type]


def look(paths: Paths) -> None:
    """Check the images."""
    for stage in ("check", "preprocess"):
        files.write_text(paths.code / f"{stage}.txt", "the code")
    params = compose(paths.params)
    image_check.write_settings(paths.image_checks, params.checks.select(image_check.load_image_checks()))
    check.run(select(params, check.Settings), paths, make_cluster(params.cluster, paths))


def decode(paths: Paths) -> None:
    params = compose(paths.params, "preprocess.image_size=32")
    preprocess.run(select(params, preprocess.Settings), paths, make_cluster(params.cluster, paths))


def list_tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of the last change of a folder and all that is in it."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in (folder, *folder.rglob("*"))}


def test_images_in_place_give_the_results_of_copies_and_their_folder_stays_as_it_is(
    tmp_path: Path, photos: Path, placed: Paths
) -> None:
    before = list_tree(photos)
    copied = Paths(tmp_path / "copied")
    bring(photos, copied, in_place=False)
    for paths in (copied, placed):
        look(paths)
        decode(paths)
        split.run(select(compose(paths.params), split.Settings), paths)
    for name in ("manifest", "images", "split", "findings", "findings_page"):
        assert getattr(placed, name).read_bytes() == getattr(copied, name).read_bytes(), name
    assert "data:image/jpeg;base64" in placed.findings_page.read_text()
    assert [path.name for path in placed.raw.rglob("*")] == ["in_place.json"]
    assert list_tree(photos) == before
    index = pd.read_csv(placed.raw_index)
    assert index["sha256"].tolist() == [files.hash_file(photos / name) for name in index["path"]]
    records = [files.read_json(paths.download_record) for paths in (copied, placed)]
    assert records[0] == records[1]


def test_a_table_of_paths_gives_labels_in_place(tmp_path: Path, photos: Path) -> None:
    table = "file,species\n/old/photos/any/000.png,ant\n/old/photos/any/001.png,bee\n/old/photos/any/002.png,ant\n"
    (photos / "red").rename(photos / "any")
    shutil.rmtree(photos / "blue")
    (photos / "labels.csv").write_text(table)
    paths = Paths(tmp_path / "placed")
    bring(photos, paths)
    index = pd.read_csv(paths.raw_index)
    assert index[["path", "label"]].to_numpy().tolist() == [
        ["any/000.png", "ant"], ["any/001.png", "bee"], ["any/002.png", "ant"],
    ]  # fmt: skip


def replace(photos: Path) -> None:
    """Write other bytes of the same number, which the size does not show."""
    file = photos / "red/003.png"
    file.write_bytes(file.read_bytes()[:-1] + b"x")


CHANGES = {
    "red/003.png has changed": replace,
    "red/004.png has changed": lambda photos: draw((1, 2, 3), 0).save(photos / "red/004.png"),
    "red/005.png cannot be read (No such file": lambda photos: (photos / "red/005.png").unlink(),
}


@pytest.mark.parametrize("message", CHANGES)
def test_an_image_that_changed_or_vanished_is_named_by_the_stage_that_reads_it(
    photos: Path, placed: Paths, message: str
) -> None:
    CHANGES[message](photos)
    with pytest.raises(UnfreezeError) as error:
        look(placed)
    assert message in str(error.value) and REMEDY in str(error.value)


def test_what_happens_between_two_stages_is_noticed_too(tmp_path: Path, photos: Path, placed: Paths) -> None:
    look(placed)
    for message, change in CHANGES.items():
        name = message.partition(" ")[0]
        shutil.copy2(photos / name, tmp_path / "kept.png")
        change(photos)
        with pytest.raises(UnfreezeError) as error:
            decode(placed)
        assert message in str(error.value) and REMEDY in str(error.value)
        # As whoever shows it reads it.
        with pytest.raises(UnfreezeError, match=REMEDY):
            Originals.open(placed).read(name)
        # The image as it was listed is still known by its path.
        assert find_image(name, placed).names == (name,)
        shutil.copy2(tmp_path / "kept.png", photos / name)
    decode(placed)


def test_listing_again_hashes_only_images_that_are_new_or_changed(
    tmp_path: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    placed = Paths(tmp_path / "placed")
    caplog.set_level(logging.INFO, "unfreeze")
    bring(photos, placed)
    before = pd.read_csv(placed.raw_index).set_index("path")["sha256"]
    assert "21 images stay where they are, 21 of them were hashed" in caplog.text
    draw((1, 2, 3), 0, side=200).save(photos / "blue/new.png")
    # Of the same size.
    replace(photos)
    os.utime(photos / "red/004.png", (1, 1))
    bring(photos, placed)
    assert "22 images stay where they are, 3 of them were hashed" in caplog.text
    after = pd.read_csv(placed.raw_index).set_index("path")["sha256"]
    assert set(after.index) - set(before.index) == {"blue/new.png"}
    assert after[before.index].index[after[before.index] != before].tolist() == ["red/003.png"]
    # A later time alone changes nothing for the stages that follow.
    other = Paths(tmp_path / "other")
    bring(photos, other)
    assert other.raw_index.read_bytes() == placed.raw_index.read_bytes()


def test_a_folder_that_changes_while_it_is_listed_is_refused(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_file = files.hash_file

    def hash_and_change(path: Path) -> str:
        if path.name == "007.png":
            os.utime(path, (1, 1))
        return hash_file(path)

    monkeypatch.setattr(files, "hash_file", hash_and_change)
    changed = r"changed while it was read: 2 changed \('blue/007.png', 'red/007.png'\)"
    with pytest.raises(UnfreezeError, match=changed):
        bring(photos, Paths(tmp_path / "placed"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "archive", "source": "photos.zip"}, "kind is archive: unpack it and use -S data=in_place"),
        ({"kind": "wheel", "source": "set==1.0", "sha256": "0" * 64}, "kind is wheel"),
        ({"kind": "folder", "source": "photos.zip"}, "photos.zip is no folder.*: mount or unpack it and give the"),
        ({"kind": "folder", "source": "set.npz"}, "set.npz is no folder, and data.in_place needs image files"),
    ],
)
def test_what_is_no_folder_of_images_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos.zip", "set.npz"):
        Path(name).touch()
    with pytest.raises((UnfreezeError, ValueError), match=message):
        collect.check_reachable(collect_settings({"name": "x", "watch": "-", "in_place": True, **settings}))


def collect_settings(values: dict[str, object]) -> FolderSource:
    from pydantic import TypeAdapter

    from unfreeze.settings.sources import DataSource

    return TypeAdapter(DataSource).validate_python(values)


def test_a_folder_of_arrays_is_refused(tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "set").mkdir()
    np.savez(tmp_path / "set/all.npz", x=np.zeros((4, 8, 8), np.uint8), y=np.arange(4) % 2)
    with pytest.raises(UnfreezeError, match="is a folder of arrays, and data.in_place needs image files"):
        bring(tmp_path / "set", Paths(tmp_path / "placed"))
