"""Faults planted among real photographs: what the checks find of them. Skipped where the photographs are not."""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from tests.conftest import CHECKS, LIMITS, PROJECT, SETTINGS
from unfreeze.checks import catalogue, duplicates, manifest
from unfreeze.features import probes
from unfreeze.images import decoding

PHOTOGRAPHS = PROJECT.parent / "shared/data/cats_vs_dogs_4000.zip"
WEIGHTS = PROJECT.parent / "shared/weights/mobilenet_v2_no_top.weights.h5"

pytestmark = pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason=f"needs {PHOTOGRAPHS.name} beside the checkout")


@dataclass
class Planted:
    """A folder of photographs and what was done to them."""

    root: Path
    index: pd.DataFrame
    exact: list[str] = field(default_factory=list)
    near: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
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
    with zipfile.ZipFile(PHOTOGRAPHS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        members = [names[place] for place in random.choice(len(names), 1200, replace=False)]
        chosen = ["/".join(Path(member).parts[-2:]) for member in members]
        for member, name in zip(members, chosen, strict=True):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(archive.read(member))
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
            label = label.with_name("dogs" if label.name == "cats" else "cats")
            made.conflicting += [name, f"{label}/copy{number}.jpg"]
        made.exact += [name, add(f"{label}/copy{number}.jpg", (root / name).read_bytes())]
    for number in range(50):
        name = next(sources)
        with Image.open(root / name) as picture:
            content, suffix = near_copy(picture.convert("RGB"), number % 5)
        made.near[add(f"{Path(name).parent}/near{number}.{suffix}", content)] = name
    for number in range(10):
        whole = (root / next(sources)).read_bytes()
        made.unreadable += [
            add(f"cats/cut{number}.jpg", whole[: len(whole) * (number + 5) // 16]),
            add(f"cats/empty{number}.jpg", b""),
            add(f"cats/text{number}.jpg", b"this is no image\n" * 20),
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
            made.odd.append(add(f"{Path(name).parent}/{kind}{number}.{suffix}", stream.getvalue()))
            made.near[made.odd[-1]] = name
    paths = sorted([*chosen, *extra])
    made.index = pd.DataFrame({"path": paths, "label": [Path(path).parent.name for path in paths]})
    return made


@pytest.fixture(scope="module")
def rows(planted: Planted) -> pd.DataFrame:
    return manifest.build(planted.index, planted.root, LIMITS)


@pytest.fixture(scope="module")
def near(planted: Planted, rows: pd.DataFrame) -> np.ndarray:
    numbers = np.flatnonzero(rows["reason"] == "")
    readable = rows.iloc[numbers]
    pairs = duplicates.candidates(readable, "auto", 0)
    return numbers[duplicates.confirmed(pairs, [planted.root / name for name in readable["path"]], LIMITS, 0)]


def test_every_unreadable_file_is_found_and_no_other(planted: Planted, rows: pd.DataFrame) -> None:
    assert sorted(rows.loc[rows["reason"] != "", "path"]) == sorted(planted.unreadable)


def test_cmyk_sixteen_bit_and_rotated_images_are_read(planted: Planted, rows: pd.DataFrame) -> None:
    table = rows.set_index("path")
    assert (table.loc[planted.odd, "reason"] == "").all()
    assert set(table.loc[[name for name in planted.odd if "cmyk" in name], "mode"]) == {"CMYK"}
    # They look as the photographs they were made from: a wrong rule for levels or a lost rotation would not.
    for name in planted.odd:
        original = table.loc[planted.near[name]]
        assert abs(table.loc[name, "brightness"] - original["brightness"]) < 8, name
        assert (table.loc[name, "width"], table.loc[name, "height"]) == (original["width"], original["height"]), name


def test_every_exact_copy_and_every_conflict_is_found(planted: Planted, rows: pd.DataFrame, near: np.ndarray) -> None:
    found = catalogue.found_in_copies(rows, near, CHECKS)
    assert sorted(rows.loc[found["exact_duplicates"], "path"]) == sorted(planted.exact)
    assert sorted(rows.loc[found["conflicting_labels"], "path"]) == sorted(planted.conflicting)


def test_near_copies_are_found_and_nothing_else(planted: Planted, rows: pd.DataFrame, near: np.ndarray) -> None:
    names = rows["path"].to_numpy()
    found = {frozenset((names[first], names[second])) for first, second in near}
    wanted = {frozenset(pair) for pair in planted.near.items()}
    # Two photographs of one scene that the set itself holds.
    known = {frozenset((f"dogs/dog.{a}.jpg", f"dogs/dog.{b}.jpg")) for a, b in ((180, 74), (1273, 980))}
    recall = len(found & wanted) / len(wanted)
    precision = len(found & wanted) / len(found - known)
    assert recall >= 0.95, sorted(map(sorted, wanted - found))
    assert precision >= 0.95, sorted(map(sorted, found - wanted - known))


@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"needs {WEIGHTS.name} beside the checkout")
def test_turned_labels_are_among_the_most_suspect(tmp_path: Path) -> None:
    from unfreeze.models.backbone import Backbone
    from unfreeze.models.engine import engine_of
    from unfreeze.models.table import row_of

    with zipfile.ZipFile(PHOTOGRAPHS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        archive.extractall(tmp_path, names)
    pixels = np.stack([decoding.load_rgb(tmp_path / name, 160, max_pixels=10**9) for name in names])
    labels = np.array([Path(name).parent.name == "dogs" for name in names], int)
    turned = np.random.default_rng(0).choice(len(names), 20, replace=False)
    labels[turned] = 1 - labels[turned]

    backbone = Backbone(row_of("mobilenetv2"), 160)
    backbone.base.load_weights(WEIGHTS)
    engine = engine_of(backbone.part(0, backbone.cut("block_16_expand")), SETTINGS.extract)
    batches = engine.run(pixels[start : start + 8] for start in range(0, len(pixels), 8))
    features = np.concatenate([batch.mean(axis=(1, 2)) for batch in batches])
    probabilities = probes.cross_validated(features, labels, np.arange(len(names)), seed=0)
    suspects = probes.opinions(names, labels, probabilities, ["cat", "dog"])["path"][:40]
    assert len({names[place] for place in turned} & set(suspects)) >= 16
