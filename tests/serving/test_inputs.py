"""Sources of images to predict: each kind, in order, and what none of them is."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from tests.sources.http_server import running
from unfreeze.errors import UnfreezeError
from unfreeze.serving.inputs import Input, count_inputs, open_inputs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for name in ("b/2.png", "b/10.png", "a.png", "c/deep/er/1.png", ".git/3.png", "c/.hidden.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / name)
    (folder / "c/notes.md").write_text("no image")
    (folder / "b/without_suffix").write_bytes((folder / "a.png").read_bytes())
    return folder


def read(sources: list[str], workplace: Path, text: bytes = b"") -> list[Input]:
    workplace.mkdir(exist_ok=True)
    return list(open_inputs(sources, workplace, io.BytesIO(text)))


def name(sources: list[str], workplace: Path, text: bytes = b"") -> list[str]:
    return [found.source for found in read(sources, workplace, text)]


def test_folders_are_read_by_name_without_hidden_and_other_files_and_without_circles(
    photos: Path, tmp_path: Path
) -> None:
    (photos / "c/circle").symlink_to(photos)
    (photos / "c/twice").symlink_to(photos / "b")
    found = name([str(photos / "b"), str(photos)], tmp_path / "work")
    b = [f"{photos}/b/10.png", f"{photos}/b/2.png", f"{photos}/b/without_suffix"]
    c = [f"{photos}/c/deep/er/1.png", *(path.replace("/b/", "/c/twice/") for path in b)]
    assert found == [*b, f"{photos}/a.png", *b, *c]
    assert count_inputs([str(photos / "b"), str(photos)]) == len(found)


def test_globs_name_images_and_folders_of_them(photos: Path, tmp_path: Path) -> None:
    assert name([f"{photos}/?"], tmp_path / "work") == [
        f"{photos}/{path}" for path in ("b/10.png", "b/2.png", "b/without_suffix", "c/deep/er/1.png")
    ]
    assert name([f"{photos}/**/*.png"], tmp_path / "work") == [
        f"{photos}/{path}" for path in ("a.png", "b/10.png", "b/2.png", "c/deep/er/1.png")
    ]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(photos: Path, tmp_path: Path) -> None:
    odd = (photos / "a.png").rename(photos / "a[1].png")
    assert name([str(odd)], tmp_path / "work") == [str(odd)]


def pack(photos: Path, archive: Path) -> None:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in ("b/2.png", "a.png", "c/notes.md"):
                packed.write(photos / path, path)
        return
    with tarfile.open(archive, "w:gz") as packed:
        for path in ("b/2.png", "a.png", "c/notes.md"):
            packed.add(photos / path, path)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz"])
def test_archives_are_read_image_by_image_and_nothing_stays(photos: Path, tmp_path: Path, suffix: str) -> None:
    archive = tmp_path / f"pets{suffix}"
    pack(photos, archive)
    assert count_inputs([str(archive)]) == 2
    workplace = tmp_path / "work"
    workplace.mkdir()
    seen = []
    for found in open_inputs([str(archive)], workplace, io.BytesIO()):
        assert found.path.read_bytes() == (photos / found.source.removeprefix(f"{archive}/")).read_bytes()
        seen.append(found.source)
        found.discard()
        assert not list(workplace.iterdir())
    assert seen == [f"{archive}/b/2.png", f"{archive}/a.png"]


def test_a_damaged_file_of_an_archive_is_a_row_and_the_others_are_read(photos: Path, tmp_path: Path) -> None:
    archive = tmp_path / "pets.zip"
    pack(photos, archive)
    data = archive.read_bytes()
    place = data.index(b"IDAT")
    archive.write_bytes(data[:place] + b"XXXX" + data[place + 4 :])
    damaged, whole = read([str(archive)], tmp_path / "work")
    assert "Bad CRC-32" in damaged.problem and not whole.problem


def test_an_archive_that_leaves_its_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
        packed.writestr("../evil.png", b"")
    with pytest.raises(UnfreezeError, match="leaves the folder"):
        count_inputs([str(tmp_path / "evil.zip")])


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".csv", "id,photo,label\n1,b/2.png,x\n2,a.png,y\n3,gone.png,y\n"),
        (".csv", "b/2.png,x\na.png,y\ngone.png,y\n"),
        (".tsv", '\ufefflabel\tpath\nx\tb/2.png\ny\t"a.png"\n\ny\tgone.png\n'),
        (".txt", "b/2.png\r\na.png\r\n\r\ngone.png"),
    ],
)
def test_tables_name_files_beside_them_with_or_without_a_header(
    photos: Path, tmp_path: Path, suffix: str, text: str
) -> None:
    table = photos / f"list{suffix}"
    table.write_text(text, newline="")
    found = read([str(table)], tmp_path / "work")
    assert [each.source for each in found] == ["b/2.png", "a.png", "gone.png"]
    assert [each.path for each in found[:2]] == [photos / "b/2.png", photos / "a.png"]
    assert [bool(each.problem) for each in found] == [False, False, True]
    assert count_inputs([str(table)]) == 3


def test_a_table_without_paths_is_refused_with_its_columns(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("height,weight\n1,2\n")
    with pytest.raises(UnfreezeError, match="no column of .*scores.csv holds paths.*height, weight"):
        count_inputs([str(table)])


@pytest.mark.parametrize(
    "content",
    [
        # A quote that is not closed takes in all rows after it.
        b'path,label\n"a.png,x\n' + b"b.png,y\n" * 20_000,
        "path,label\na.png,x\n".encode("utf-16")[:-1],
    ],
)
def test_a_damaged_table_is_one_line(tmp_path: Path, content: bytes) -> None:
    table = tmp_path / "scores.csv"
    table.write_bytes(content)
    with pytest.raises(UnfreezeError, match=r"scores.csv cannot be read as a table \(.*\): look for a quote"):
        count_inputs([str(table)])


@pytest.mark.parametrize("end", [b"\n", b"\0"])
def test_standard_input_names_paths_of_any_bytes(photos: Path, tmp_path: Path, end: bytes) -> None:
    odd = photos / b"caf\xe9.png".decode(errors="surrogateescape")
    (photos / "a.png").rename(odd)
    text = end.join([str(photos / "b/2.png").encode(), bytes(odd), str(photos).encode(), b"/gone.png"]) + end
    found = read(["-"], tmp_path / "work", text)
    assert [each.source for each in found] == [str(photos / "b/2.png"), str(odd), str(photos), "/gone.png"]
    assert [each.problem for each in found] == [
        "", "", "it is a folder", "the file could not be read (No such file or directory)",
    ]  # fmt: skip
    assert count_inputs(["-"]) is None


def test_addresses_of_images_and_archives_are_fetched(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "pets.zip")
    with running() as server:
        server.add("a.png", (photos / "a.png").read_bytes())
        server.add("pets.zip", (tmp_path / "pets.zip").read_bytes())
        server.add("login.png", b"<html>", content_type="text/html")
        asked = [server.url(path) for path in ("a.png", "none.png", "login.png", "pets.zip")]
        asked[0] += "?key=secret"
        found = read(asked, tmp_path / "work")
        problems = [each.fetch() for each in found]
    assert found[0].source == f"{asked[0].partition('?')[0]}?..."
    assert found[0].path.read_bytes() == (photos / "a.png").read_bytes()
    assert "status 404" in problems[1]
    assert "a web page (text/html)" in problems[2]
    assert [each.source for each in found[3:]] == [f"{asked[3]}/b/2.png", f"{asked[3]}/a.png"]


def test_an_address_with_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfreezeError, match="holds a password") as refused:
        count_inputs(["https://me:hush@example.org/a.png"])
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("source", ["empty", "gone.png", "*.gif"])
def test_a_source_without_images_is_refused_before_any_work(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnfreezeError, match="holds no images|there is no") as refused:
        count_inputs([str(tmp_path / source)])
    assert source in str(refused.value)
