from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from tests.conftest import LIMITS, draw
from unfreeze.checks import manifest


def build(root: Path, *names: str) -> pd.DataFrame:
    index = pd.DataFrame({"path": names, "label": "a"})
    return manifest.measure_images(index, root, LIMITS).set_index("path")


def test_an_image_is_measured(tmp_path: Path) -> None:
    Image.new("L", (30, 20), 100).save(tmp_path / "grey.png")
    draw((100, 100, 100), 0, side=256).save(tmp_path / "noise.png")
    rows = build(tmp_path, "grey.png", "noise.png")
    grey = rows.loc["grey.png"]
    assert (grey["width"], grey["height"], grey["mode"], grey["format"]) == (30, 20, "L", "PNG")
    assert (grey["brightness"], grey["dark_end"], grey["bright_end"]) == (100, 100, 100)
    assert grey["sharpness"] == 0
    assert grey["entropy"] == 0
    assert rows.loc["noise.png", "sharpness"] > 100
    assert rows["reason"].tolist() == ["", ""]
    assert rows["suffix_fits"].tolist() == [True, True]


def test_what_cannot_be_read_has_a_reason_and_the_others_are_measured(tmp_path: Path) -> None:
    draw((100, 100, 100), 0).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"no image at all")
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    rows = build(tmp_path, "empty.png", "good.png", "text.png", "half.png")
    assert (rows["reason"] == "").to_dict() == {
        "empty.png": False,
        "good.png": True,
        "text.png": False,
        "half.png": False,
    }
    assert rows.loc["half.png", "bytes"] == len(whole) // 2
    assert rows["width"].notna().tolist() == [False, True, False, False]


def test_an_image_that_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    draw((100, 100, 100), 0).save(tmp_path / "large.png")
    index = pd.DataFrame({"path": ["large.png"], "label": "a"})
    rows = manifest.measure_images(index, tmp_path, LIMITS.model_copy(update={"max_megapixels": 0.001}))
    assert "pixels" in rows.loc[0, "reason"]


def test_copies_have_one_digest_of_pixels_whatever_their_file(tmp_path: Path) -> None:
    picture = draw((100, 100, 100), 0)
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.png", compress_level=0)
    picture.save(tmp_path / "c.bmp")
    rows = build(tmp_path, "a.png", "b.png", "c.bmp")
    assert rows["sha256"].nunique() == 3
    assert rows["pixels_sha256"].nunique() == 1


def test_what_the_source_says_stays(tmp_path: Path) -> None:
    draw((100, 100, 100), 0).save(tmp_path / "a.png")
    index = pd.DataFrame({"path": ["a.png"], "label": "x", "weight": 2.0, "group": "p1", "fold": "test"})
    rows = manifest.measure_images(index, tmp_path, LIMITS)
    assert rows.loc[0, ["weight", "group", "fold"]].tolist() == [2.0, "p1", "test"]


def test_the_same_images_give_the_same_bytes(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "images", images=5)
    index = pd.DataFrame({"path": [f"red/{n:03}.png" for n in range(5)], "label": "red"})
    for name in ("first", "second"):
        manifest.measure_images(index, root, LIMITS).to_parquet(tmp_path / name, index=False)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
