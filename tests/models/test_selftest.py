import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.conftest import CHECKS, PROJECT, SETTINGS
from unfreeze.data import decoding, feature_space, pooled
from unfreeze.data.rules import SCALING_TOLERANCE
from unfreeze.models import backbones, selftest
from unfreeze.models.backbones import Backbone, row_of
from unfreeze.models.engine import engine_of
from unfreeze.params import PixelScaling

SHARED = PROJECT.parent / "shared"
PHOTOGRAPHS = SHARED / "data/cats_vs_dogs_4000.zip"
WEIGHTS = {
    "efficientnetv2b0": SHARED / "weights/efficientnetv2b0_no_top.weights.h5",
    "vgg16": SHARED / "weights/vgg16_no_top.weights.h5",
}


@pytest.mark.parametrize("row", backbones.TABLE.values(), ids=lambda row: row.name)
def test_every_backbone_is_fed_what_it_was_trained_on(row: backbones.Row) -> None:
    backbone = Backbone(row, row.smallest_size)
    assert selftest.scaling_error(backbone) < 1e-5
    assert selftest.likely_scaling(backbone) == selftest.NAMES[row.pixels]
    assert selftest.explain(backbone).endswith("which is right")


@pytest.mark.parametrize("row", [row for row in backbones.TABLE.values() if row.builder], ids=lambda row: row.name)
def test_pixels_of_0_to_1_are_told_and_named(row: backbones.Row) -> None:
    backbone = Backbone(row, row.smallest_size, "unit")
    assert selftest.scaling_error(backbone) > 0.1
    assert selftest.explain(backbone) == (
        f"{row.name} is fed pixels scaled as divided by 255, and was trained on {selftest.NAMES[row.pixels]}: "
        "set pixels=native"
    )


def test_the_network_from_scratch_keeps_its_own_scaling() -> None:
    backbone = Backbone(row_of("from_scratch"), 32, "unit")
    assert backbone.scaling == "inside"
    assert selftest.scaling_error(backbone) == 0


def test_swapped_channels_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # A row that says `torch` of a network trained on BGR: levels, mean and channels are all wrong.
    monkeypatch.setattr(Backbone, "scaling", "torch")
    backbone = Backbone(row_of("vgg16"), 32)
    assert selftest.scaling_error(backbone) > 0.1
    assert "RGB without the mean" in selftest.likely_scaling(backbone)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photographs")
    with zipfile.ZipFile(PHOTOGRAPHS) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        chosen = [names[place] for place in np.random.default_rng(0).choice(len(names), 300, replace=False)]
        archive.extractall(folder, chosen)
    return [folder / name for name in chosen]


@pytest.mark.skipif(not SHARED.exists(), reason=f"needs {PHOTOGRAPHS.name} and weights beside the checkout")
@pytest.mark.parametrize(
    ("name", "size", "right", "wrong", "collapsed"),
    [("efficientnetv2b0", 160, (0.95, 1), (0.5, 0.7), True), ("vgg16", 96, (0.83, 0.93), (0.7, 0.82), False)],
)
def test_the_wrong_scaling_shows_in_features_too(
    photographs: list[Path],
    name: str,
    size: int,
    right: tuple[float, float],
    wrong: tuple[float, float],
    collapsed: bool,
) -> None:
    pixels = np.stack([decoding.load_rgb(path, size) for path in photographs])
    labels = np.array([path.parent.name == "dogs" for path in photographs], int)
    settings = SETTINGS.extract.model_copy(update={"precision": "bfloat16"})
    skills, dimensions = {}, {}
    for scaling in get_args(PixelScaling):
        backbone = Backbone(row_of(name), size, scaling)
        backbone.base.load_weights(WEIGHTS[name])
        engine = engine_of(backbone.part(0, backbone.end), settings)
        batches = engine.run(pixels[start : start + 8] for start in range(0, len(pixels), 8))
        features = np.concatenate([pooled.over_places(batch) for batch in batches])
        skill = feature_space.probe_skill(features, labels, np.arange(len(labels)), seed=0)
        assert skill is not None
        skills[scaling], dimensions[scaling] = skill, feature_space.effective_dimensions(features)
        assert (selftest.scaling_error(backbone) < SCALING_TOLERANCE) == (scaling == "native")
    assert right[0] <= skills["native"]["accuracy"] <= right[1]
    assert wrong[0] <= skills["unit"]["accuracy"] <= wrong[1]
    assert dimensions["native"] > 20
    assert (dimensions["unit"] < CHECKS.collapsed_features.threshold) == collapsed
