from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import PROJECT, compose
from unfreeze.errors import UnfreezeError
from unfreeze.settings.params import load, resolve_settings
from unfreeze.settings.sources import WeightsWheel
from unfreeze.settings.training import Phase


def test_committed_params_are_the_composition_of_the_defaults(tmp_path: Path) -> None:
    compose(tmp_path / "params.yaml")
    assert (PROJECT / "params.yaml").read_text() == (tmp_path / "params.yaml").read_text()


@pytest.mark.parametrize(
    "preset", ["data=elpv", "data=cats_and_dogs", "data=petimages", "data=folder", "data=in_place"]
)
@pytest.mark.parametrize("study", ["study=quick", "study=six", "study=paper"])
def test_every_preset_composes(tmp_path: Path, preset: str, study: str) -> None:
    compose(tmp_path / "params.yaml", preset, study)


def test_an_exception_needs_only_what_differs(tmp_path: Path) -> None:
    params = compose(tmp_path / "params.yaml", "+train.finetune.vgg16={learning_rate: 1.0e-6}")
    assert params.train.finetune.get("vgg16").learning_rate == 1e-6
    assert params.train.finetune.get("vgg16").epochs == params.train.finetune.get("resnet50").epochs


def test_a_check_may_be_off_without_quotes(tmp_path: Path) -> None:
    # YAML reads both as false.
    for spelling in ("off", "false"):
        text = (PROJECT / "params.yaml").read_text()
        (tmp_path / "params.yaml").write_text(
            text.replace("blurry:\n    level: warning", f"blurry:\n    level: {spelling}")
        )
        assert load(tmp_path / "params.yaml").checks.blurry.level == "off"


def test_paper_has_the_reports_recipe(tmp_path: Path) -> None:
    params = compose(tmp_path / "params.yaml", "study=paper")
    points = {name: params.unfreeze.point.get(name) for name in params.study.backbones}
    assert points == {
        "efficientnetb0": 160, "inceptionv3": 248, "inceptionresnetv2": 630,
        "resnet50": 143, "vgg16": 15, "xception": 126,
    }  # fmt: skip
    expected = Phase(
        optimizer="adagrad", learning_rate=5e-5, schedule="constant", epochs=10, batch_size=32, patience=None,
        weight_decay=0, layer_decay=1, label_smoothing=0, dropout=None, views=None,
    )  # fmt: skip
    assert params.train.finetune.get("inceptionv3") == expected
    assert params.train.finetune.get("xception") == expected.model_copy(update={"optimizer": "adam"})
    assert params.head.layers.get("resnet50") == ("flatten", "batch_normalization")
    assert isinstance(params.weights.get("xception"), WeightsWheel)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed: 0", "sede: 0", "sede: unknown parameter, did you mean 'seed'?"),
        ("max_trials: 4", "max_trials: 1", "search.max_trials: Input should be greater than or equal to 2"),
        ("train: 0.6", "train: 0.9", "split: train, val and test add up to 1.3, expected 1"),
        (
            "calibration: 0",
            "calibration: 0.1",
            "split: train, val, test and calibration add up to 1.1, expected 1",
        ),
        (
            "kind: wheel",
            "kind: flopy",
            "data: unknown kind 'flopy': use archive, folder, ",
        ),
        ("sha256: 85e3", "sha257: 85e3", "data.sha257: unknown parameter, did you mean 'sha256'?"),
        ("image_size: 160", "image_size: big", "preprocess.image_size: Input should be a valid integer"),
        ("- xception\n  - from_scratch", "- xception\n  - xception", "backbones: xception is there twice"),
        ("seeds: []", "seeds: [1, 0]", "seed 0 and study.seeds [1, 0] hold a seed twice"),
        ("pixels: native", "pixels: halved", "pixels: Input should be 'native' or 'unit'"),
        (
            "views: 1\n  every_epoch: true\n  horizontal_flip: true\n  vertical_flip: true",
            "views: 2\n  every_epoch: true\n  horizontal_flip: false\n  vertical_flip: false",
            "every change is off",
        ),
        (
            "engine: auto\n  precision: float32",
            "engine: tensorflow\n  precision: int8",
            "set extract.engine=auto, or extract.precision=float32",
        ),
        (
            "views: null\nserve",
            "views: [1, 4]\nserve",
            "views 4 in train or search is more than augment.views 1",
        ),
        (
            "oracle: random",
            "oracle: bayes",
            "search.oracle: no such oracle, did you mean 'bayesian'? Known are bayesian, grid, hyperband, random "
            "(received 'bayes')",
        ),
        (
            "default:\n    - blocks: 1\n    - blocks: 2",
            "default: []",
            "candidates.default: Tuple should have at least 1 item",
        ),
        ("min: 1.0e-05", "min: 1.0", "search.learning_rate.default: min 1 is not below max 0.0002"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (PROJECT / "params.yaml").read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(UnfreezeError) as caught:
        load(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnfreezeError, match="params.yaml is missing"):
        load(tmp_path / "params.yaml")


@pytest.mark.slow
@given(st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1, max_size=12))
def test_no_unknown_key_is_ever_accepted(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    known = load(PROJECT / "params.yaml").model_dump()
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text((PROJECT / "params.yaml").read_text() + f"\n'{key}': 1\n")
    if key not in known:
        with pytest.raises(UnfreezeError, match="unknown parameter"):
            load(path)


def test_settings_are_those_of_the_backbone() -> None:
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    settings = resolve_settings(values, "from_scratch")
    assert settings["weights"] == "random"
    assert settings["train.finetune.learning_rate"] == 1e-3
    assert settings["train.finetune.schedule"] == "restarts"
    assert settings["unfreeze.candidates"] == ["all"]
