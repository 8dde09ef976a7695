import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import draw
from unfreeze.errors import UnfreezeError
from unfreeze.images import store
from unfreeze.images.decoding import load_rgb


def test_every_image_is_stored_in_order(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "images", images=40)
    ids = [f"{label}/{n:03}.png" for label in ("blue", "red") for n in range(40)]
    labels = [name.split("/")[0] for name in ids]
    path = tmp_path / "images.h5"
    store.write(path, root, ids, labels, size=16, max_pixels=10**6, manifest_sha256="abc")
    images = store.describe(path)
    assert images.ids == ids
    assert images.classes == ["blue", "red"]
    assert images.labels.tolist() == [0] * 40 + [1] * 40
    assert (images.size, images.manifest_sha256) == (16, "abc")
    pixels = np.concatenate(list(store.read_batches(path, range(80), 7)))
    assert pixels.shape == (80, 16, 16, 3)
    for row in (0, 39, 40, 79):
        assert np.array_equal(pixels[row], load_rgb(root / ids[row], 16, max_pixels=10**9))


def test_chosen_rows_come_in_their_order(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "images", images=5)
    ids = [f"red/{n:03}.png" for n in range(5)]
    store.write(tmp_path / "images.h5", root, ids, ["red"] * 5, size=16, max_pixels=10**6, manifest_sha256="")
    batches = list(store.read_batches(tmp_path / "images.h5", [1, 3, 4], 2))
    assert [len(batch) for batch in batches] == [2, 1]
    assert np.array_equal(batches[1][0], load_rgb(root / ids[4], 16, max_pixels=10**9))


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_jpeg_that_breaks_off_is_named(tmp_path: Path, kept: float) -> None:
    draw((200, 100, 50), 0, side=300).save(tmp_path / "photo.jpg")
    whole = (tmp_path / "photo.jpg").read_bytes()
    (tmp_path / "photo.jpg").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(UnfreezeError, match=r"photo.jpg cannot be decoded \(.+\): run `dvc repro"):
        store.write(
            tmp_path / "x.h5", tmp_path, ["photo.jpg"], ["red"], size=32, max_pixels=10**6, manifest_sha256=""
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photo.jpg"]


def test_an_image_above_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    draw((200, 100, 50), 0, side=300).save(tmp_path / "photo.jpg")
    with pytest.raises(UnfreezeError, match="300 x 300 pixels are more than 50,000"):
        store.write(
            tmp_path / "x.h5", tmp_path, ["photo.jpg"], ["red"], size=32, max_pixels=50_000, manifest_sha256=""
        )


def test_more_images_than_a_block_are_all_stored(
    tmp_path: Path, make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BLOCK", 7)
    monkeypatch.setattr(store, "RUN", 3)
    root = make_images(tmp_path / "images", images=9)
    ids = [f"{label}/{n:03}.png" for label in ("blue", "red") for n in range(9)]
    store.write(tmp_path / "images.h5", root, ids, ["red"] * 18, size=16, max_pixels=10**6, manifest_sha256="")
    (pixels,) = store.read_batches(tmp_path / "images.h5", range(18), 32)
    assert all(
        np.array_equal(row, load_rgb(root / name, 16, max_pixels=10**9))
        for row, name in zip(pixels, ids, strict=True)
    )


def test_the_same_images_give_the_same_bytes(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "images", images=3)
    for name in ("first", "second"):
        store.write(
            tmp_path / name,
            root,
            ["red/000.png", "red/002.png"],
            ["red"] * 2,
            size=16,
            max_pixels=10**6,
            manifest_sha256="",
        )
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def write_ten(path: Path, root: Path, max_file_bytes: int | None) -> np.ndarray:
    ids = [f"red/{number:03}.png" for number in range(10)]
    store.write(
        path, root, ids, ["red"] * 10, size=8, max_pixels=10**6, manifest_sha256="a", max_file_bytes=max_file_bytes
    )
    return np.concatenate(list(store.read_batches(path, range(10), 4)))


def test_images_past_a_size_are_in_shard_files_and_are_read_alike(
    tmp_path: Path, make_images: Callable[..., Path]
) -> None:
    root = make_images(tmp_path / "images", images=10)
    expected = write_ten(tmp_path / "one.h5", root, None)
    for name in ("many.h5", "again.h5"):
        assert np.array_equal(write_ten(tmp_path / name, root, 3 * 192 + 100), expected)
    found = store.describe(tmp_path / "many.h5")
    assert (found.ids[9], found.labels.tolist(), found.digest) == (
        "red/009.png", [0] * 10, store.describe(tmp_path / "one.h5").digest
    )  # fmt: skip
    assert np.array_equal(store.read_pixels(tmp_path / "many.h5", [9, 2, 3, 2]), expected[[9, 2, 3, 2]])
    folders = [tmp_path / "many.shards", tmp_path / "again.shards"]
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert contents[0] == contents[1]
    assert {name: len(content) for name, content in contents[0].items() if name.endswith(".rows")} == {
        "00000.rows": 576, "00001.rows": 576, "00002.rows": 576, "00003.rows": 192,
    }  # fmt: skip
    assert (tmp_path / "many.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()


def test_as_many_bytes_as_a_file_may_have_are_one_file(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "images", images=10)
    write_ten(tmp_path / "x.h5", root, 1000)
    write_ten(tmp_path / "x.h5", root, 1920)
    write_ten(tmp_path / "one.h5", root, None)
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "one.h5").read_bytes()
    # DVC expects the folder, and warns of empty ones; shard files of a run before are gone.
    assert [path.name for path in (tmp_path / "x.shards").iterdir()] == ["files.json"]


def test_room_for_all_shard_files_is_taken_first_or_none_is(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "images", images=1)
    write = partial(
        store.write, tmp_path / "x.h5", root, ["red/000.png"] * 600, ["red"] * 600, size=8, max_pixels=10**6,
        manifest_sha256="",
    )  # fmt: skip
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a file system that takes no larger files; all pixels are 115,200 bytes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(max_file_bytes=100_000)
        assert [path.name for path in tmp_path.iterdir()] == ["images"]
        write(max_file_bytes=50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sum(len(batch) for batch in store.read_batches(tmp_path / "x.h5", range(600), 256)) == 600


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "images.h5").write_bytes(b"nothing")
    with pytest.raises(UnfreezeError, match=r"images.h5 is damaged .*dvc repro"):
        store.describe(tmp_path / "images.h5")
