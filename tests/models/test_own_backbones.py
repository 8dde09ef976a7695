"""Backbones that are described in `conf/backbones` of a checkout, with no change of the package."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from keras import layers

from tests.conftest import Checkout, checkout_with_images, compose
from unfreeze import files
from unfreeze.cli import backbones
from unfreeze.errors import UnfreezeError
from unfreeze.models import pixel_check, weights
from unfreeze.models.backbone import Backbone, build
from unfreeze.models.table import find_row
from unfreeze.records.code import Source
from unfreeze.settings.sources import WeightsFile

BUILDER = """
import keras
from keras import layers

def build(size):
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(4, 3, strides=2, activation="relu", name="low")(inputs)
    x = layers.Conv2D(6, 3, activation="relu", name="middle")(x)
    return keras.Model(inputs, layers.Conv2D(8, 3, activation="relu", name="high")(x))
"""


def describe(root: Path, name: str, **settings: object) -> None:
    """Write conf/backbones/NAME.yaml."""
    values = {"builder": "plugins.backbones.small:build", "pixels": "tf", "smallest_size": 16, "native_size": 32}
    if (saved := root / str(settings.get("builder"))).suffix == ".keras" and saved.exists():
        values["sha256"] = files.hash_file(saved)
    file = root / f"conf/backbones/{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({**values, **settings}))


def write_builder(root: Path, module: str, code: str = BUILDER) -> None:
    """Write plugins/backbones/MODULE.py."""
    file = root / f"plugins/backbones/{module}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code)


def trained_classifier() -> keras.Model:
    """Return a whole classifier of 24 x 24 pixels, as somebody may have saved it: features, pooling, top."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((24, 24, 3))
    x = layers.Conv2D(4, 3, name="first")(inputs)
    x = layers.ReLU(name="features")(layers.BatchNormalization(name="norm")(x))
    return keras.Model(inputs, layers.Dense(5, name="top")(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_function_in_the_checkout_is_a_backbone(folder: Path) -> None:
    write_builder(folder, "first")
    describe(folder, "mine", builder="plugins.backbones.first:build", blocks=["middle", "high"], unfreeze="middle")
    network = Backbone(find_row("mine"), 32)
    assert network.feature_shape == (11, 11, 8)
    assert network.name_point("auto") == "middle"
    assert list(network.list_candidates(("auto",))) == ["none", "high", "middle"]
    (row,) = backbones.describe(["mine"])
    assert [point["layer"] for point in row["unfreeze_points"]] == ["middle", "high"]


def test_a_network_of_keras_applications_may_have_settings_of_ones_own(folder: Path) -> None:
    describe(folder, "cut_mobile", builder="MobileNetV2", smallest_size=32, output="block_13_expand_relu")
    network = Backbone(find_row("cut_mobile"), 64)
    assert network.base.layers[-1].name == "block_13_expand_relu"
    assert pixel_check.explain(network).endswith("which is right")


def test_a_keras_file_brings_its_weights_and_takes_another_size(folder: Path) -> None:
    saved = trained_classifier()
    saved.save(folder / "theirs.keras")
    describe(folder, "theirs", builder="theirs.keras", output="features", native_size=24)
    row = find_row("theirs")
    network = Backbone(row, 40)
    assert network.feature_shape == (38, 38, 4)
    given = weights.load_pretrained(row, "imagenet", seed=0)
    np.testing.assert_array_equal(given.get_layer("first").kernel, saved.get_layer("first").kernel)
    assert weights.describe(row, "imagenet") == "file theirs.keras"
    # A later stage reads them into the network of its own size.
    given.save_weights("given.weights.h5")
    network.base.load_weights("given.weights.h5")
    np.testing.assert_array_equal(network.base.get_layer("norm").gamma, saved.get_layer("norm").gamma)


def test_a_replaced_file_is_noticed(folder: Path) -> None:
    trained_classifier().save(folder / "theirs.keras")
    describe(folder, "theirs", builder="theirs.keras", output="features", native_size=24)
    (folder / "theirs.keras").write_bytes(b"another one")
    with pytest.raises(UnfreezeError, match=r"theirs.keras has sha256 \w+, expected \w+: if it is the right"):
        find_row("theirs")


def test_a_network_inside_a_saved_model_is_taken_out_and_is_not_frozen(folder: Path) -> None:
    inputs = keras.Input((24, 24, 3))
    inner = keras.Sequential([keras.Input((24, 24, 3)), layers.Conv2D(4, 3, name="inside_conv")], name="inner")
    inner.trainable = False
    keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inner(inputs)))).save(folder / "whole.keras")
    describe(folder, "inner_of_whole", builder="whole.keras", output="inner", native_size=24)
    network = build(find_row("inner_of_whole"), 32)
    assert network.output.shape[1:] == (30, 30, 4)
    assert network.get_layer("inside_conv").trainable


def test_weights_of_a_function_come_from_a_file(folder: Path) -> None:
    write_builder(folder, "weighted")
    describe(folder, "mine", builder="plugins.backbones.weighted:build")
    row = find_row("mine")
    with pytest.raises(UnfreezeError, match="no ImageNet weights for plugins.backbones.weighted:build: give a file"):
        weights.load_pretrained(row, "imagenet", seed=0)
    stored = weights.load_pretrained(row, "random", seed=3)
    stored.save_weights("mine.weights.h5")
    source = WeightsFile(file="mine.weights.h5", sha256=files.hash_file(Path("mine.weights.h5")))
    loaded = weights.load_pretrained(row, source, seed=0)
    np.testing.assert_array_equal(loaded.get_layer("high").kernel, stored.get_layer("high").kernel)


@pytest.mark.parametrize("pixels", ["inside", "tf", "caffe", "torch", "unit"])
def test_pixels_reach_it_as_its_settings_say(folder: Path, pixels: str) -> None:
    write_builder(folder, "scaled")
    describe(folder, "mine", builder="plugins.backbones.scaled:build", pixels=pixels)
    assert pixel_check.measure_scaling_error(Backbone(find_row("mine"), 32)) < 1e-6
    fed_unit = pixel_check.measure_scaling_error(Backbone(find_row("mine"), 32, "unit"))
    assert (fed_unit < 1e-6) == (pixels == "unit")


def test_a_wrong_scaling_of_a_known_network_is_found(folder: Path) -> None:
    describe(folder, "mine", builder="VGG16", pixels="tf", smallest_size=32)
    network = Backbone(find_row("mine"), 32)
    assert pixel_check.measure_scaling_error(network) > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smalest_size": 16}, r"mine.yaml: smalest_size: unknown parameter, did you mean 'smallest_size'\?"),
        ({"pixels": "zero"}, "mine.yaml: pixels: Input should be 'inside', 'tf'"),
        (
            {"builder": "a b"},
            "mine.yaml: builder: expected a name of keras.applications, module:function, the path of a .keras file",
        ),
        ({"native_size": 8}, "smallest_size 16 is above native_size 8"),
        ({"builder": "absent.keras"}, "there is no file absent.keras: correct builder"),
    ],
)
def test_wrong_settings_are_told_in_one_line(folder: Path, settings: dict[str, object], message: str) -> None:
    describe(folder, "mine", **settings)
    with pytest.raises(UnfreezeError, match=message) as caught:
        find_row("mine")
    assert "\n" not in str(caught.value)


def test_a_name_of_the_table_is_refused(folder: Path) -> None:
    describe(folder, "vgg16")
    with pytest.raises(UnfreezeError, match="vgg16 is in the table already"):
        find_row("vgg16")


def test_an_unknown_name_names_the_own_ones_too(folder: Path) -> None:
    describe(folder, "mine")
    with pytest.raises(
        UnfreezeError, match=r"unknown backbone 'mien': take one of .*, mine .*conf/backbones/mien.yaml"
    ):
        find_row("mien")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere_to_be_found", "cannot be imported"),
        ("other = 1", "has no function 'build'"),
        ("def build(size): raise KeyError('lost')", r"failed at image side 32 \(KeyError: 'lost'\)"),
        ("def build(size): return 5", "gives a int, expected a keras.Model"),
        (
            "import keras\nclass Own(keras.Model):\n    pass\ndef build(size): return Own()",
            r"gives a subclass of keras.Model \(Own\)",
        ),
        (
            "import keras\ndef build(size): return keras.applications.MobileNetV2(weights=None)",
            r"its outputs are \[\(1000,\)\], expected one of \(height, width, channels\) or \(tokens, "
            r"channels\): give it without its top",
        ),
        (BUILDER.replace("(size, size, 3)", "(20, 20, 3)"), r"images of side 32 and takes \(20, 20, 3\)"),
        (
            BUILDER.replace('layers.Conv2D(6, 3, activation="relu", name="middle")', "layers.Lambda(abs)"),
            "its layer lambda.* is a Lambda, whose code a saved model does not hold",
        ),
        (
            BUILDER.replace("x = layers.Conv2D(4", "inputs_ = layers.Rescaling(1 / 255, name='mine')(inputs)\n"
            "    x = layers.Conv2D(4").replace('name="low")(inputs)', 'name="low")(inputs_)'),
            "its first layer, mine, scales pixels that pixels: tf has scaled already: set pixels: inside",
        ),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_used_is_refused(
    folder: Path, code: str, message: str, request: pytest.FixtureRequest
) -> None:
    module = f"refused{abs(hash(request.node.name))}"
    write_builder(folder, module, code)
    describe(folder, "mine", builder=f"plugins.backbones.{module}:build")
    with pytest.raises(UnfreezeError, match=message) as caught:
        build(find_row("mine"), 32)
    assert "\n" not in str(caught.value)


def test_a_module_that_is_nowhere_is_named(folder: Path) -> None:
    describe(folder, "mine", builder="plugins.backbones.nowhere:build")
    with pytest.raises(UnfreezeError, match="no file plugins/backbones/nowhere.py: correct builder, or write"):
        build(find_row("mine"), 32)


@keras.saving.register_keras_serializable("tests")
class Doubled(layers.Layer):
    """A layer that is not Keras' own."""

    def call(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return 2 * x


@pytest.mark.parametrize("odd", [layers.Lambda(lambda x: 2 * x), Doubled()], ids=["lambda", "own class"])
def test_a_file_with_code_of_its_own_is_refused(folder: Path, odd: layers.Layer) -> None:
    inputs = keras.Input((24, 24, 3))
    keras.Model(inputs, odd(layers.Conv2D(4, 3)(inputs))).save(folder / "odd.keras")
    describe(folder, "odd", builder="odd.keras", native_size=24)
    with pytest.raises(
        UnfreezeError, match=r"backbone odd: (odd.keras could not be loaded|its layer doubled)"
    ) as caught:
        build(find_row("odd"), 24)
    assert "Keras' own layers" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_settings_are_composed_as_before(folder: Path) -> None:
    made = Checkout(folder / "checkout")
    describe(made.root, "mine")
    assert compose(folder / "params.yaml", "study.backbones=[mine]").study.backbones == ("mine",)


def test_only_what_decides_the_network_counts(folder: Path) -> None:
    """A comment in builder or settings changes no digest; code of the builder and settings do, of this one alone."""

    def digests() -> tuple[str | None, str | None]:
        source = Source(folder)
        return source.digest_backbone("mine"), source.digest_backbone("other")

    write_builder(folder, "counted")
    describe(folder, "mine", builder="plugins.backbones.counted:build")
    describe(folder, "other", builder="MobileNetV2", smallest_size=32)
    mine, other = digests()
    write_builder(folder, "counted", BUILDER + "# A comment.\n")
    with (folder / "conf/backbones/mine.yaml").open("a") as stream:
        stream.write("# Another one.\n")
    assert digests() == (mine, other)
    write_builder(folder, "counted", BUILDER.replace("layers.Conv2D(6", "layers.Conv2D(7"))
    rebuilt, same = digests()
    assert (rebuilt != mine, same) == (True, other)
    describe(folder, "mine", builder="plugins.backbones.counted:build", pixels="torch")
    assert digests()[0] not in {mine, rebuilt}
    assert Source(folder).digest_backbone("vgg16") is None


@pytest.mark.slow
def test_the_pipeline_trains_backbones_of_ones_own(tmp_path: Path) -> None:
    made = checkout_with_images(tmp_path, 24, "study.backbones=[mine,theirs,tokens]",
                                "study.baseline=mine", "+weights.mine=random", "+weights.tokens=random",
                                "unfreeze.candidates.default=[auto]",
                                # tests/stages/test_search.py searches over a backbone of one's own.
                                "search.enabled.default=false",
                                "checks.one_class.level=warning", "checks.below_majority.level=warning")  # fmt: skip
    write_builder(made.root, "small")
    describe(made.root, "mine", blocks=["middle", "high"])
    trained_classifier().save(made.root / "conf/backbones/theirs.keras")
    describe(made.root, "theirs", builder="conf/backbones/theirs.keras", output="features", native_size=24)
    # A vision transformer, trained at another side than that of its embeddings of positions.
    vit = {"family": "vit", "patch": 8, "width": 16, "depth": 2, "heads": 2, "mlp": 24}
    describe(made.root, "tokens", builder="hub:small", smallest_size=8, native_size=48, transformer=vit)
    made.run("dvc", "repro", "evaluate")
    assert all((made.root / f"metrics/evaluate/{name}.json").exists() for name in ("mine", "theirs", "tokens"))
    records = {name: files.read_json(made.paths.weights_record(name)) for name in ("mine", "theirs")}
    assert records["theirs"]["source"] == "file theirs.keras"
    assert (records["mine"]["pretrained"], records["theirs"]["pretrained"]) == (False, True)
    assert files.read_json(made.root / "metrics/selftest/theirs.json")["scaling_error"] < 1e-5

    # A comment in the builder changes nothing; its code and its settings concern its own stages alone.
    write_builder(made.root, "small", BUILDER + "# A comment.\n")
    made.run("dvc", "repro", "code")
    assert "code" not in changed_stages(made)
    write_builder(made.root, "small", BUILDER.replace('"relu", name="high"', '"tanh", name="high"'))
    made.run("dvc", "repro", "code", "pretrained")
    changed = changed_stages(made)
    stages = ("extract", "search", "finetune", "evaluate")
    assert {f"{stage}@mine" for stage in stages} <= changed
    assert not {f"{stage}@theirs" for stage in stages} & changed


def changed_stages(made: Checkout) -> set[str]:
    """Return the stages whose dependencies have changed since they ran."""
    return set(json.loads(made.run("dvc", "status", "--json")))
