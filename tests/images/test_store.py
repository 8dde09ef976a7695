from collections.abc import Callable
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


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "images.h5").write_bytes(b"nothing")
    with pytest.raises(UnfreezeError, match=r"images.h5 is damaged .*dvc repro"):
        store.describe(tmp_path / "images.h5")
