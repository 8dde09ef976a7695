"""What `unfreeze inspect` says of an address: it reads what is there, says what it fetched, and leaves nothing."""

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.cluster.object_store import Objects, serve_objects, use_objects
from tests.sources.http_server import Server
from tests.sources.layouts import pack, spread, write_csv
from unfreeze.cli.main import main
from unfreeze.errors import UnfreezeError
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import collect
from unfreeze.sources.inspection import inspect

TABLE = write_csv([("image", "class"), *((f"img/{image.path}", image.label) for image in spread("{n}.jpg"))])


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let temporary files be in a folder of their own, and find it empty in the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def objects() -> Iterator[Objects]:
    with serve_objects() as server, use_objects(server):
        yield server


PHOTOS = pack({image.path: b"an image" for image in spread("pets/{label}/{n}.jpg")})


def test_an_archive_at_an_address_of_the_web(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.add("pets.zip", PHOTOS)
    main(["inspect", server.url("pets.zip?signature=1")])
    said = capsys.readouterr().out
    assert "6 seen = 6 images + 0 left out" in said and "cat/0.jpg" in said
    assert "note     the archive was fetched to be looked at, 0.0 MB, and is not kept" in said
    # The command needs the whole address, and the shell has to leave it as it is.
    assert f"-S data=archive -S \"data.source='{server.url('pets.zip?signature=1')}'\"" in said
    main(["inspect", "--json", server.url("pets.zip?signature=1")])
    found = json.loads(capsys.readouterr().out)
    assert found["source"] == server.url("pets.zip?...")
    assert found["classes"] == {"cat": {"images": 3}, "dog": {"images": 3}}


def test_a_folder_in_a_bucket_is_listed_and_its_images_are_not_fetched(
    objects: Objects, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image in spread("{n}.jpg"):
        objects.content[f"/bucket/pets/img/{image.path}"] = b"x" * 100_000
    objects.content["/bucket/pets/labels.csv"] = TABLE.encode()
    found = inspect("s3://bucket/pets/")
    assert found.source == "s3://bucket/pets"
    assert found.classes == {"cat": {"images": 3}, "dog": {"images": 3}}
    assert found.notes[0].startswith("7 files were listed, and 0.0 MB fetched: tables, and the first bytes of files")
    assert found.settings == ["data=folder", "data.source=s3://bucket/pets", "data.watch=conf/data/folder.yaml"]


def test_an_archive_in_a_bucket_is_fetched(objects: Objects) -> None:
    objects.content["/bucket/sets/pets.zip"] = PHOTOS
    found = inspect("s3://bucket/sets/pets.zip", "(cat|dog)/")
    assert (found.images, found.groups) == (6, 2)
    assert found.settings[:2] == ["data=archive", "data.source=s3://bucket/sets/pets.zip"]


def test_what_is_said_of_a_folder_is_what_a_study_reads(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    for image in spread("{fold}/{label}/{n}", folds={"train": "train", "val": "val"}):
        # Only its first bytes say that it is an image.
        memory.pipe(f"/pets/{image.path}", b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    memory.pipe("/pets/readme.md", b"about pets")
    found = inspect("memory://pets")
    assert found.folds == {"train": 6, "val": 6} and found.left_out["is no image (.md)"]["files"] == 1
    source = FolderSource(kind="folder", name="pets", source="memory://pets", watch="-")
    index = collect.collect(source, tmp_path / "raw", downloads=tmp_path / "downloads").index
    assert index["fold"].value_counts().to_dict() == found.folds


def test_arrays_at_an_address_are_fetched(memory: fsspec.AbstractFileSystem) -> None:
    content = io.BytesIO()
    np.savez(content, images=np.zeros((6, 8, 8, 3), "uint8"), labels=np.array([0, 0, 0, 1, 1, 1]))
    memory.pipe("/digits/all.npz", content.getvalue())
    found = inspect("memory://digits")
    assert found.classes == {"0": {"images": 3}, "1": {"images": 3}}
    assert found.notes[0].startswith("its arrays were fetched to be looked at")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("{web}/none.zip", "status 404 Not Found): check the address"),
        ("{web}/page.zip", "is a web page (text/html), not a file: give the direct link"),
        ("{web}/labels.csv", "is one file and no archive (.csv): give the address of an archive or, in a store"),
        ("{web}/any", "was not unpacked: it is neither a zip nor a tar archive"),
        ("memory://none", "cannot read memory://none (FileNotFoundError"),
        ("memory://labels.csv", "memory://labels.csv is one file and no archive (.csv)"),
        (
            "https://ada:secret@example.org/pets.zip",
            "https://example.org/pets.zip holds a password; take it out, and give it through the environment",
        ),
        ("nosuch://bucket/pets", "has the unknown protocol 'nosuch'"),
    ],
)
def test_what_cannot_be_read_at_an_address_ends_in_one_line(
    server: Server, memory: fsspec.AbstractFileSystem, address: str, expected: str
) -> None:
    memory.pipe("/labels.csv", b"a,b")
    server.add("page.zip", b"<html>", content_type="text/html")
    server.add("any", b"anything else")
    with pytest.raises(SystemExit) as end:
        main(["inspect", address.format(web=server.address)])
    assert expected in str(end.value) and len(str(end.value).splitlines()) == 1
    assert "secret" not in str(end.value)


def test_a_bucket_that_refuses_is_named_with_what_to_do(objects: Objects) -> None:
    objects.fails = 403
    with pytest.raises(UnfreezeError, match=r"cannot read s3://bucket/pets .*credentials in the environment"):
        inspect("s3://bucket/pets")
