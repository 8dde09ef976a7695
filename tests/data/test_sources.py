import functools
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from unfreeze.data import sources
from unfreeze.errors import UnfreezeError
from unfreeze.params import ArchiveSource, FolderSource, LabelTable


def folder(path: Path) -> FolderSource:
    return FolderSource(kind="folder", name="mine", source=str(path), watch=str(path))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    served = tmp_path / "served"
    served.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_folder_is_copied_with_its_labels(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    images = make_images(tmp_path / "images", images=3)
    (images / "red/.DS_Store").touch()
    (images / "red/Thumbs.db").touch()
    (images / "red/more").mkdir()
    (images / "red/000.png").rename(images / "red/more/000.png")
    target = tmp_path / "raw"
    index = sources.collect(folder(images), target)
    expected = ["blue/000.png", "blue/001.png", "blue/002.png", "red/001.png", "red/002.png", "red/more/000.png"]
    assert index["path"].tolist() == expected
    assert index["label"].tolist() == ["blue"] * 3 + ["red"] * 3
    assert (target / "blue/001.png").read_bytes() == (images / "blue/001.png").read_bytes()


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch])
def test_a_missing_or_empty_folder_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "images")
    with pytest.raises(UnfreezeError, match=r"images.*one folder a class"):
        sources.collect(folder(tmp_path / "images"), tmp_path / "raw")


def archive(path: Path, images: Path) -> str:
    with zipfile.ZipFile(path, "w") as packed:
        for number, file in enumerate(sorted(images.rglob("*.png"))):
            part = "train" if number % 2 else "validation"
            packed.write(file, f"pets/{part}/{file.relative_to(images)}")
        packed.writestr("pets/readme.txt", "hello")
        packed.writestr("__MACOSX/pets/._x", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_archive_comes_over_http(tmp_path: Path, server: str, make_images: Callable[..., Path]) -> None:
    digest = archive(tmp_path / "served/pets.zip", make_images(tmp_path / "images", images=2))
    source = ArchiveSource(
        kind="archive", name="pets", source=f"{server}/pets.zip", watch="-", class_folders="pets/*/*", sha256=digest
    )
    index = sources.collect(source, tmp_path / "raw")
    assert index["label"].tolist() == ["blue", "red", "blue", "red"]
    assert index["path"][0] == "train/blue/001.png"


def test_a_wrong_digest_is_refused(tmp_path: Path, server: str, make_images: Callable[..., Path]) -> None:
    archive(tmp_path / "served/pets.zip", make_images(tmp_path / "images", images=2))
    address = f"{server}/pets.zip"
    source = ArchiveSource(kind="archive", name="pets", source=address, watch="-", sha256="0" * 64)
    with pytest.raises(UnfreezeError, match=r"pets.zip has sha256 [0-9a-f]{64}, params.yaml expects 0000"):
        sources.collect(source, tmp_path / "raw")


def test_an_address_without_a_file_is_named(tmp_path: Path, server: str) -> None:
    source = ArchiveSource(kind="archive", name="pets", source=f"{server}/none.zip", watch="-")
    with pytest.raises(UnfreezeError, match=r"none.zip could not be fetched.*data=folder"):
        sources.collect(source, tmp_path / "raw")


def test_what_is_no_archive_is_named(tmp_path: Path, server: str) -> None:
    (tmp_path / "served/pets.zip").write_text("<html>not found</html>")
    source = ArchiveSource(kind="archive", name="pets", source=f"{server}/pets.zip", watch="-")
    with pytest.raises(UnfreezeError, match="is no zip archive"):
        sources.collect(source, tmp_path / "raw")


def test_a_table_gives_labels_by_threshold(tmp_path: Path) -> None:
    (tmp_path / "set/images").mkdir(parents=True)
    for name in ("a", "b", "c"):
        (tmp_path / f"set/images/{name}.png").touch()
    rows = "images/a.png  0.0   mono\nimages/b.png  1.0   poly\nimages/c.png  0.3333333333333333 mono\n"
    (tmp_path / "set/labels.csv").write_text(rows)
    labels = LabelTable(file="set/labels.csv", threshold=0.5, classes=("functional", "defective"))
    index = sources._from_table(tmp_path, labels)
    expected = pd.DataFrame(
        {
            "path": ["images/a.png", "images/b.png", "images/c.png"],
            "label": ["functional", "defective", "functional"],
        }
    )
    pd.testing.assert_frame_equal(index, expected, check_dtype=False)


def test_a_table_that_names_missing_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("gone.png 1\n")
    with pytest.raises(UnfreezeError, match="such as gone.png"):
        sources._from_table(tmp_path, LabelTable(file="labels.csv"))
