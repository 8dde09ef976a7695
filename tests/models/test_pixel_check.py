import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.conftest import CHECKS, PROJECT, SETTINGS
from unfreeze.checks.rules import SCALING_TOLERANCE
from unfreeze.features import feature_space, pooled
from unfreeze.images import decoding
from unfreeze.models import pixel_check
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import engine_of
from unfreeze.models.table import TABLE, Row, row_of
from unfreeze.settings.base import PixelScaling

SHARED = PROJECT.parent / "shared"
PHOTOGRAPHS = SHARED / "data/cats_vs_dogs_4000.zip"
WEIGHTS = {
    "efficientnetv2b0": SHARED / "weights/efficientnetv2b0_no_top.weights.h5",
    "vgg16": SHARED / "weights/vgg16_no_top.weights.h5",
}


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_every_backbone_is_fed_what_it_was_trained_on(row: Row) -> None:
    backbone = Backbone(row, row.smallest_size)
    assert pixel_check.scaling_error(backbone) < 1e-5
    assert pixel_check.likely_scaling(backbone) == pixel_check.NAMES[row.pixels]
    assert pixel_check.explain(backbone).endswith("which is right")


@pytest.mark.parametrize("row", [row for row in TABLE.values() if row.builder], ids=lambda row: row.name)
def test_pixels_of_0_to_1_are_told_and_named(row: Row) -> None:
    backbone = Backbone(row, row.smallest_size, "unit")
    assert pixel_check.scaling_error(backbone) > 0.1
    assert pixel_check.explain(backbone) == (
        f"{row.name} is fed pixels scaled as divided by 255, and was trained on {pixel_check.NAMES[row.pixels]}: "
        "set pixels=native"
    )


def test_the_network_from_scratch_keeps_its_own_scaling() -> None:
    backbone = Backbone(row_of("from_scratch"), 32, "unit")
    assert backbone.scaling == "inside"
    assert pixel_check.scaling_error(backbone) == 0


def test_swapped_channels_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # A row that says `torch` of a network trained on BGR: levels, mean and channels are all wrong.
    monkeypatch.setattr(Backbone, "scaling", "torch")
    backbone = Backbone(row_of("vgg16"), 32)
    assert pixel_check.scaling_error(backbone) > 0.1
    assert "RGB without the mean" in pixel_check.likely_scaling(backbone)


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
    pixels = np.stack([decoding.load_rgb(path, size, max_pixels=10**9) for path in photographs])
    labels = np.array([path.parent.name == "dogs" for path in photographs], int)
    settings = SETTINGS.extract.model_copy(update={"precision": "bfloat16"})
    skills, dimensions = {}, {}
    for scaling in get_args(PixelScaling):
        backbone = Backbone(row_of(name), size, scaling)
        backbone.base.load_weights(WEIGHTS[name])
        engine = engine_of(backbone.part(0, backbone.end), settings)
        batches = engine.run(pixels[start : start + 8] for start in range(0, len(pixels), 8))
        features = np.concatenate([pooled.average_places(batch) for batch in batches])
        skill = feature_space.measure_probe_skill(features, labels, np.arange(len(labels)), seed=0)
        assert skill is not None
        skills[scaling], dimensions[scaling] = skill, feature_space.count_effective_dimensions(features)
        assert (pixel_check.scaling_error(backbone) < SCALING_TOLERANCE) == (scaling == "native")
    assert right[0] <= skills["native"]["accuracy"] <= right[1]
    assert wrong[0] <= skills["unit"]["accuracy"] <= wrong[1]
    assert dimensions["native"] > 20
    assert (dimensions["unit"] < CHECKS.threshold_of("collapsed_features")) == collapsed
