"""Image size and epochs that fit into some minutes."""

from pathlib import Path

import pytest

from tests.conftest import compose, fill_with_images
from unfreeze import files
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.planning.best import KEPT_FREE, Fit, choose, fit

SIZES = (224, 160, 96)


def of_area(size: int, epochs: int) -> float:
    """Return the seconds of a study of which each epoch takes a minute at 224 pixels, and the rest ten."""
    return 600 + 60 * epochs * (size / 224) ** 2


@pytest.mark.parametrize(
    ("minutes", "size", "epochs"),
    [
        # Enough are ten epochs of 1,600 images, and with time to spare twice as many.
        (60, 224, 20),
        (30, 224, 14),
        # Ten epochs do not fit at the largest size.
        (20, 160, 11),
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


def test_many_images_need_fewer_epochs() -> None:
    assert choose(SIZES, 100_000, 20, of_area)[0] == 224
    assert choose(SIZES, 100_000, 10_000, of_area)[1] == 6


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
    ample = compose(tmp_path / "ample.yaml", *shared, given)
    assert ample.best is not None and ample.best.minutes == 60
    assert ample.study.backbones == ("efficientnetv2b0",)
    assert ample.preprocess.image_size == 288, "up to 1.3 times the 224 that EfficientNetV2B0 was trained on"
    assert ample.train.finetune.get("efficientnetv2b0").epochs > 3
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
