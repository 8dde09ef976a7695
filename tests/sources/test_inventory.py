from pathlib import Path

import pytest

from tests.sources.layouts import meaning_of, refusal_of, spread
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import collect
from unfreeze.sources.inventory import list_source, walk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of five images a class."""
    for image in spread("set/{label}/{n}.jpg", count=5):
        (tmp_path / image.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / image.path).touch()
    return tmp_path / "set"


def read(folder: Path) -> collect.Layout:
    return collect.read_layout(FolderSource(kind="folder", name="x", source=str(folder), watch="-"), folder)


def test_a_linked_folder_inside_the_source_is_followed(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more/9.jpg").touch()
    (folder / "cat/batch").symlink_to("../more")
    layout = read(folder)
    assert ("cat/batch/9.jpg", "cat", "") in meaning_of(layout)
    assert layout.notes == ()


def test_a_link_that_leads_out_is_followed_and_told(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere/71.jpg").touch()
    (folder / "cat/batch2").symlink_to("../../elsewhere")
    (folder / "dog/72.jpg").symlink_to("../../elsewhere/71.jpg")
    layout = read(folder)
    assert len(layout.index) == 12
    assert "2 links lead out of the source" in layout.notes[0] and "'cat/batch2', 'dog/72.jpg'" in layout.notes[0]


def test_a_loop_of_links_ends_and_is_told(folder: Path) -> None:
    (folder / "cat/again").symlink_to("..")
    layout = read(folder)
    assert len(layout.index) == 10
    assert "lead back" in layout.notes[0] and "'cat/again'" in layout.notes[0]


def test_a_link_to_nothing_is_left_out_with_its_reason(folder: Path) -> None:
    (folder / "cat/gone.jpg").symlink_to("nowhere")
    layout = read(folder)
    assert layout.left_out == {"is a link to nothing, or no file": ("cat/gone.jpg",)}
    assert layout.seen == 11


def test_hidden_folders_are_counted_and_not_read(folder: Path) -> None:
    (folder / ".cache/cat").mkdir(parents=True)
    (folder / ".cache/cat/1.jpg").touch()
    assert walk(folder).hidden == [".cache/cat/1.jpg"]
    assert read(folder).left_out == {"is hidden": (".cache/cat/1.jpg",)}


def test_a_file_without_a_suffix_is_what_its_first_bytes_say(folder: Path) -> None:
    (folder / "cat/a").write_bytes(b"\xff\xd8\xff\xe0....")
    (folder / "cat/b").write_bytes(b"hello")
    listing = list_source(folder, "x")
    assert "cat/a" in listing.images and listing.others == ("cat/b",)


@pytest.mark.parametrize("name", ["a\\b.jpg", "caf\udce9.jpg", "a\nb.jpg"])
def test_names_that_cannot_be_used_are_named(folder: Path, name: str) -> None:
    (folder / "cat" / name).touch()
    message = refusal_of(folder)
    assert "rename them" in message and "(1)" in message
    message.encode()
