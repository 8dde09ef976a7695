"""Images that stay in a store of objects: the results of a folder's, and what is lost or changed there is named."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest

from tests.cluster.object_store import Objects, serve_objects
from tests.cluster.ray_nodes import MISSING
from tests.conftest import draw
from tests.stages.test_in_place import REMEDY, bring, decode, look
from unfreeze import files
from unfreeze.checks.raw_images import find_image
from unfreeze.errors import UnfreezeError
from unfreeze.images.originals import Originals
from unfreeze.paths import Paths
from unfreeze.runtime.remote_folder import RemoteFile, RemoteFolder
from unfreeze.serving.export import write as exports
from unfreeze.sources import fetch

ADDRESS = "s3://bucket/sets/photos"
LOST, REPLACED = "red/005.png", "red/003.png"


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[Objects]:
    """Return an empty server that this process and those that it starts may use."""
    s3fs = pytest.importorskip("s3fs", reason=MISSING)
    with serve_objects() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        forget(s3fs)
        yield server
        forget(s3fs)


def forget(s3fs: object) -> None:
    """Let this process connect again, as a new one does."""
    from unfreeze.runtime import remote_folder

    remote_folder._open.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()  # type: ignore[attr-defined]


@pytest.fixture
def photos(tmp_path: Path, make_images: Callable[..., Path]) -> Path:
    """Return a folder with ten images of each of two classes, two of which show the same, and a text."""
    folder = make_images(tmp_path / "photos", images=10, side=200)
    from PIL import Image

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
        objects.content[f"/bucket/sets/photos/{path.relative_to(photos).as_posix()}"] = path.read_bytes()


def bring_from(address: str, paths: Paths) -> None:
    bring(address, paths)  # type: ignore[arg-type]


@contextlib.contextmanager
def broken(objects: Objects, name: str, content: bytes | None) -> Iterator[None]:
    """Let an object be another one, or missing."""
    key = f"/bucket/sets/photos/{name}"
    before = objects.content.pop(key)
    if content is not None:
        objects.content[key] = content
    yield
    objects.content[key] = before


def test_images_of_a_store_give_the_results_of_a_folder(tmp_path: Path, photos: Path, placed: Paths) -> None:
    here = Paths(tmp_path / "here")
    bring(photos, here)
    for paths in (here, placed):
        look(paths)
        decode(paths)
    for name in ("raw_index", "manifest", "images", "findings", "findings_page"):
        assert getattr(placed, name).read_bytes() == getattr(here, name).read_bytes(), name
    assert pd.read_csv(placed.findings)["check"].tolist() == ["near_duplicates"] * 2
    # No image was copied into the checkout.
    assert [path.name for path in placed.raw.rglob("*")] == ["in_place.json"]
    assert files.read_json(placed.in_place) == {"root": ADDRESS}
