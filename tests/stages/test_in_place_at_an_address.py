"""Images that stay in a store of objects: the results of a folder's, and what is lost or changed there is named."""

import contextlib
import logging
import re
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from PIL import Image

from tests.cluster.object_store import Objects, serve_objects, use_objects
from tests.conftest import compose
from tests.stages.test_in_place import REMEDY, bring, decode, look
from unfreeze import files
from unfreeze.checks import manifest
from unfreeze.errors import UnfreezeError
from unfreeze.images import isolated
from unfreeze.images.originals import Originals
from unfreeze.paths import Paths
from unfreeze.settings.sources import FolderSource
from unfreeze.sources import collect

ADDRESS, KEY = "s3://bucket/sets/photos", "/bucket/sets/photos"


@pytest.fixture
def objects() -> Iterator[Objects]:
    """Return an empty server that this process and those that it starts may use."""
    with serve_objects() as server, use_objects(server):
        yield server


@pytest.fixture
def photos(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    """Return a folder with ten images of each of two classes, two of which show the same, and a text."""
    folder = make_images(tmp_path / "photos", images=10, side=200)
    with Image.open(folder / "red/000.png") as image:
        image.resize((150, 150)).save(folder / "red/near.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def placed(tmp_path: Path, photos: Path, objects: Objects) -> Paths:
    """Return a checkout that has listed the images at the address."""
    upload(photos, objects)
    paths = Paths(tmp_path / "placed")
    bring_from(ADDRESS, paths)
    return paths


def upload(photos: Path, objects: Objects) -> None:
    for path in photos.rglob("*.*"):
        objects.content[f"{KEY}/{path.relative_to(photos).as_posix()}"] = path.read_bytes()


def pass_all(paths: Paths) -> None:
    """Write what `preprocess` reads."""
    files.write_parquet(paths.manifest, pd.read_csv(paths.raw_index).assign(verdict="ok"))
    files.write_text(paths.code / "preprocess.txt", "the code")


def bring_from(address: str, paths: Paths) -> None:
    bring(address, paths)


@contextlib.contextmanager
def lose(objects: Objects) -> Iterator[str]:
    """Let an object be missing; yields what is said of it."""
    content = objects.content.pop(f"{KEY}/red/005.png")
    yield f"{ADDRESS}/red/005.png cannot be read (No such file or directory); data.in_place is set"
    objects.content[f"{KEY}/red/005.png"] = content


@contextlib.contextmanager
def replace(objects: Objects) -> Iterator[str]:
    """Let an object have other bytes of the same number; yields what is said of it."""
    content = objects.content[f"{KEY}/red/003.png"]
    objects.content[f"{KEY}/red/003.png"] = content[:-1] + b"x"
    yield f"{ADDRESS}/red/003.png has changed since it was listed"
    objects.content[f"{KEY}/red/003.png"] = content


@contextlib.contextmanager
def refuse(objects: Objects) -> Iterator[str]:
    """Let the server refuse everything; yields what is said."""
    objects.fails = 403
    yield f"{socket.gethostname()} cannot read {ADDRESS}"
    objects.fails = 0


def test_images_of_a_store_give_the_results_of_a_folder(tmp_path: Path, photos: Path, placed: Paths) -> None:
    here = Paths(tmp_path / "here")
    bring(photos, here)
    for paths in (here, placed):
        look(paths)
        decode(paths)
    for name in ("raw_index", "manifest", "images", "findings", "findings_page"):
        assert getattr(placed, name).read_bytes() == getattr(here, name).read_bytes(), name
    assert "near_duplicates" in pd.read_csv(placed.findings)["check"].tolist()
    # No image was copied into the checkout.
    assert [path.name for path in placed.raw.rglob("*")] == ["in_place.json"]
    assert files.read_json(placed.in_place) == {"root": ADDRESS}


@pytest.mark.parametrize("stage", [look, decode])
def test_what_is_missing_changed_or_refused_is_named_by_the_stage_that_reads_it(
    placed: Paths, objects: Objects, stage: Callable[[Paths], None]
) -> None:
    if stage is decode:
        pass_all(placed)
    for change, remedy in [(lose, REMEDY), (replace, REMEDY), (refuse, "the credentials in the environment")]:
        with change(objects) as said, pytest.raises(UnfreezeError) as error:
            stage(placed)
        assert str(error.value).startswith(said) and remedy in str(error.value)
        assert "\n" not in str(error.value) and "hunter2" not in str(error.value)


def test_an_image_that_vanishes_while_others_are_measured_is_named(placed: Paths, objects: Objects) -> None:
    paths, limits = Originals.open(placed, pd.read_csv(placed.raw_index)), compose(placed.params).checks
    found = paths.locate(["blue/000.png", "red/005.png"])
    with lose(objects) as said, pytest.raises(UnfreezeError, match=re.escape(said)):
        list(manifest.iterate_measures(found, limits.limits))


def test_listing_again_reads_only_what_is_new_or_changed(
    tmp_path: Path, placed: Paths, objects: Objects, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "unfreeze")
    before = pd.read_csv(placed.raw_index).set_index("path")["sha256"]
    objects.content[f"{KEY}/blue/new.png"] = objects.content[f"{KEY}/blue/001.png"][:-1]
    with replace(objects):
        bring_from(ADDRESS, placed)
    assert "22 images stay where they are, 2 of them were hashed" in caplog.text
    after = pd.read_csv(placed.raw_index).set_index("path")["sha256"]
    assert after[before.index].index[after[before.index] != before].tolist() == ["red/003.png"]


def test_a_table_and_images_without_a_suffix_are_recognised_at_an_address(tmp_path: Path, photos: Path) -> None:
    memory = fsspec.filesystem("memory")
    address = f"memory://{tmp_path.name}"
    for number, path in enumerate(sorted(photos.glob("*/00[0-2].png"))):
        memory.pipe(f"{address}/any/{number}", path.read_bytes())
    memory.pipe(
        f"{address}/labels.csv",
        b"file,species\n" + b"".join(b"any/%d,%s\n" % (n, (b"ant", b"bee")[n % 2]) for n in range(6)),
    )
    paths = Paths(tmp_path / "placed")
    try:
        bring_from(address, paths)
        index = pd.read_csv(paths.raw_index)
        assert index["label"].tolist() == ["ant", "bee"] * 3
        assert index["path"].tolist() == [f"any/{number}" for number in range(6)]
        assert Originals.open(paths, index).read("any/3") == memory.cat(f"{address}/any/3")
    finally:
        memory.store.clear()


def test_arrays_at_an_address_are_refused_and_not_fetched(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe(f"memory://{tmp_path.name}/all.npz", b"these are no arrays, so whoever reads them fails")
    try:
        with pytest.raises(UnfreezeError, match="is a folder of arrays, and data.in_place needs image files"):
            bring_from(f"memory://{tmp_path.name}", Paths(tmp_path / "placed"))
    finally:
        memory.store.clear()


def test_a_file_at_an_address_can_be_brought_here(placed: Paths, photos: Path, tmp_path: Path) -> None:
    (image,) = Originals.open(placed, pd.read_csv(placed.raw_index)).locate(["red/003.png"])
    assert isolated.bring(image, tmp_path / "scratch").read_bytes() == (photos / "red/003.png").read_bytes()


@pytest.mark.parametrize("fails", [0, 403])
def test_an_address_without_files_or_access_ends_in_one_line(tmp_path: Path, objects: Objects, fails: int) -> None:
    objects.fails = fails
    with pytest.raises(UnfreezeError) as error:
        bring_from(ADDRESS, Paths(tmp_path / "placed"))
    said = str(error.value)
    assert said.startswith(f"{socket.gethostname()} cannot read {ADDRESS} (") and "\n" not in said
    assert "check the address, the connection and the credentials in the environment" in said


def test_a_server_that_cannot_be_reached_ends_in_one_line(
    tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The port of a socket that nobody listens on.
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(UnfreezeError) as error:
            bring_from(ADDRESS, Paths(tmp_path / "placed"))
    assert "Could not connect to the endpoint" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (ADDRESS, "Install s3fs.*the extra `cluster` with `make cluster`"),
        ("nosuch://bucket/x", "unknown protocol 'nosuch'"),
        ("s3://me:hunter2@bucket/x", r"s3://\*\*\*@bucket/x holds a password"),
        ("https://host/photos", "is no folder that can be listed"),
        ("zip://photos::s3://bucket/x.zip", "is no folder, and data.in_place needs image files"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    # fsspec keeps what an earlier test imported.
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    source = FolderSource(kind="folder", name="x", source=address, watch="-", in_place=True)
    with pytest.raises(UnfreezeError, match=said):
        collect.check_reachable(source)
