"""Image size and epochs that fit into some minutes."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import PROJECT, compose, fill_with_images
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.models.table import Row, find_row
from unfreeze.paths import Paths
from unfreeze.planning import machine
from unfreeze.planning.best import KEPT_FREE, Fit, choose, fit, list_sizes

SIZES = (224, 160, 96)


def of_area(size: int, epochs: int) -> float:
    """Return the seconds of a study of which each epoch takes a minute at 224 pixels, and the rest ten."""
    return 600 + 60 * epochs * (size / 224) ** 2


@pytest.mark.parametrize(
    ("minutes", "size", "epochs"),
    [
        # Ten epochs of 1,600 images are enough, however much time there is.
        (60, 224, 10),
        # They do not fit at the largest size.
        (20, 160, 10),
        (15, 96, 10),
        # The least that teaches anything.
        (13.3, 96, 3),
    ],
)
def test_the_largest_size_at_which_enough_epochs_fit(minutes: float, size: int, epochs: int) -> None:
    assert choose(SIZES, 1600, minutes, of_area) == (size, epochs)
    assert of_area(size, epochs) <= minutes * 60 * (1 - KEPT_FREE)


def test_minutes_that_leave_no_training_are_refused_with_those_that_do() -> None:
    refusal = "best.minutes=1 is too little for 3 epochs at 96 pixels.*best.minutes=14 "
    with pytest.raises(UnfreezeError, match=refusal):
        choose(SIZES, 1600, 1, of_area)
    assert choose(SIZES, 1600, 14, of_area) == (96, 6)


def test_only_the_size_is_chosen_where_the_networks_have_epochs_of_their_own() -> None:
    def measure(size: int, epochs: int) -> float:
        return of_area(size, 28)

    assert choose(SIZES, 1600, 60, measure)[0] == 224
    assert choose(SIZES, 1600, 35, measure)[0] == 160
    with pytest.raises(UnfreezeError, match=r"too little for the epochs that train.finetune gives .* at 96 .*=19 or"):
        choose(SIZES, 1600, 10, measure)


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (["efficientnetv2b0"], [288, 256, 224, 192, 160, 128, 96]),
        # Measured for one network alone.
        (["mobilenetv2"], [224, 192, 160, 128, 96]),
        (["xception"], [288, 256, 224, 192, 160, 128, 96]),
        (["efficientnetv2b0", "mobilenetv2"], [224, 192, 160, 128, 96]),
        # The baseline is no limit.
        (["mobilenetv2", "from_scratch"], [224, 192, 160, 128, 96]),
        (["from_scratch"], [160, 128, 96]),
    ],
)
def test_sizes_are_those_that_all_networks_take(names: list[str], sizes: list[int]) -> None:
    assert list_sizes([find_row(name) for name in names]) == sizes


def test_sizes_of_a_network_of_ones_own_follow_from_its_sides_and_patches() -> None:
    assert list_sizes([Row("small", "own:build", "tf", 16, 32)]) == [32]
    assert list_sizes([Row("patches", "hub:x", "tf", 14, 224, patch=14)]) == [224, 182, 154, 126, 84]
    both = [Row("one", "hub:x", "tf", 16, 384, patch=16), Row("other", "hub:y", "tf", 14, 518, patch=14)]
    assert list_sizes(both) == [224, 112]
    assert list_sizes([Row("fixed", "own.keras", "tf", 200, 200)]) == [200]


def test_no_size_is_chosen_that_memory_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill_with_images(tmp_path / "images", images=40)
    compose(tmp_path / "params.yaml", "study.backbones=[efficientnetv2b0]", "data=folder", f"data.source={source}")
    settings = files.read_yaml(tmp_path / "params.yaml")
    settings["preprocess"]["image_size"] = None
    settings["unfreeze"]["point"]["default"] = "all"
    shutil.copy(PROJECT / "dvc.yaml", tmp_path)

    def choose_with(gigabytes: float) -> int:
        limit = tmp_path / "memory.max"
        limit.write_text(str(round(gigabytes * 1e9)))
        monkeypatch.setattr(machine, "MEMORY_LIMITS", (limit,))
        return fit(Paths(tmp_path), settings, 1000).image_size

    assert choose_with(16) == 288
    assert choose_with(7.2) == 224
    assert choose_with(0.5) == 96


def test_many_images_need_fewer_epochs() -> None:
    assert choose(SIZES, 100_000, 20, of_area)[0] == 224
    assert choose(SIZES, 100_000, 17, of_area) == (224, 3)
    assert choose(SIZES, 100_000, 10_000, of_area) == (224, 10)


def test_as_large_as_the_network_knows_where_the_number_of_images_is_unknown(tmp_path: Path) -> None:
    archive = "data={kind: archive, name: later, source: 'https://127.0.0.1:9/later.zip', sha256: '" + "0" * 64 + "'}"
    compose(tmp_path / "params.yaml", "study.backbones=[efficientnetv2b0]", archive)
    settings = files.read_yaml(tmp_path / "params.yaml")
    settings["preprocess"]["image_size"] = None
    assert fit(Paths(tmp_path), settings, 60) == Fit(("efficientnetv2b0",), 224, 10, None)
    settings["preprocess"]["image_size"] = 320
    assert fit(Paths(tmp_path), settings, 60).image_size == 320, "one that is given stays"


def test_the_preset_has_values_that_follow_from_its_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Nothing listens there.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    source = fill_with_images(tmp_path / "images", images=40)
    shared = ("study=best", "data=folder", f"data.source={source}")
    given = "+weights.efficientnetv2b0={file: " + str(tmp_path / "own.weights.h5") + ", sha256: " + "0" * 64 + "}"
    ample = compose(tmp_path / "ample.yaml", *shared, given, "best.minutes=600")
    assert ample.best is not None and ample.best.minutes == 600
    assert ample.study.backbones == ("efficientnetv2b0",)
    assert ample.preprocess.image_size == 288, "up to 1.3 times the 224 that EfficientNetV2B0 was trained on"
    # 16,000 images are enough, of which 48 are in each epoch.
    assert ample.train.finetune.get("efficientnetv2b0").epochs == 334
    assert "${" not in (tmp_path / "ample.yaml").read_text()
    capfd.readouterr()
    scarce = compose(tmp_path / "scarce.yaml", *shared, "preprocess.image_size=96")
    assert scarce.study.backbones == ("xception",)
    assert scarce.preprocess.image_size == 96
    epochs = scarce.train.finetune.get("xception").epochs
    said = capfd.readouterr().err
    assert said.count("does not answer, so xception is trained and not efficientnetv2b0") == 1
    assert said.count(f"xception: {epochs} epochs at 96 pixels fit into 60 minutes here") == 1
    with pytest.raises(ValueError, match=r"what fits into best.minutes could not be found"):
        compose(tmp_path / "none.yaml", *shared, "best.minutes=0.01")
    assert "best.minutes=0.01 is too little for 3 epochs at 96 pixels" in capfd.readouterr().err
    assert not (tmp_path / "none.yaml").exists()
