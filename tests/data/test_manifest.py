from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import draw
from unfreeze.data import manifest


def build(root: Path, **labels: str) -> pd.DataFrame:
    index = pd.DataFrame({"path": [name.replace("_", ".") for name in labels], "label": list(labels.values())})
    return manifest.build(index, root).set_index("path")


def test_an_image_is_measured(tmp_path: Path) -> None:
    Image.new("L", (30, 20), 100).save(tmp_path / "grey.png")
    draw((100, 100, 100), 0, side=256).save(tmp_path / "noise.png")
    rows = build(tmp_path, grey_png="a", noise_png="b")
    grey = rows.loc["grey.png"]
    assert (grey["width"], grey["height"], grey["mode"], grey["format"]) == (30, 20, "L", "PNG")
    assert grey["brightness"] == 100
    assert grey["sharpness"] == 0
    assert grey["entropy"] == 0
    assert rows.loc["noise.png", "sharpness"] > 100
    assert rows["verdict"].tolist() == ["ok", "ok"]


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_what_cannot_be_read_has_a_verdict_and_a_reason(tmp_path: Path, content: bytes | None) -> None:
    draw((100, 100, 100), 0).save(tmp_path / "good.png")
    if content is None:
        whole = (tmp_path / "good.png").read_bytes()
        content = whole[: len(whole) // 2]
    (tmp_path / "bad.png").write_bytes(content)
    rows = build(tmp_path, good_png="a", bad_png="a")
    assert rows["verdict"].to_dict() == {"good.png": "ok", "bad.png": "unreadable"}
    assert rows.loc["bad.png", "reason"]
    assert manifest.usable(rows.reset_index())["path"].tolist() == ["good.png"]


def test_copies_are_one_cluster_whatever_their_file(tmp_path: Path) -> None:
    picture = draw((100, 100, 100), 0)
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.png", compress_level=0)
    picture.save(tmp_path / "c.bmp")
    draw((100, 100, 100), 1).save(tmp_path / "d.png")
    rows = build(tmp_path, a_png="x", b_png="x", c_bmp="x", d_png="x")
    assert rows["cluster"].tolist() == [0, 0, 0, 1]
    assert rows["sha256"].nunique() == 4


def test_one_image_under_two_labels_is_a_conflict(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw((100, 100, 100), 0).save(tmp_path / f"{name}.png")
    assert build(tmp_path, a_png="cat", b_png="dog")["verdict"].tolist() == ["conflict", "conflict"]


def test_the_same_images_give_the_same_bytes(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "images", images=5)
    index = pd.DataFrame({"path": [f"red/{n:03}.png" for n in range(5)], "label": "red"})
    for name in ("first", "second"):
        manifest.build(index, root).to_parquet(tmp_path / name, index=False)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_decoded_bomb_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(np.zeros((40, 40), "uint8")).save(tmp_path / "bomb.png")
    assert "decompression bomb" in manifest.measure(tmp_path / "bomb.png")["reason"]
