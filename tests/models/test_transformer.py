"""Vision transformers of KerasHub's families, small and with random weights: a test downloads no preset."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.models.test_own_backbones import describe, write_builder
from unfreeze.errors import UnfreezeError
from unfreeze.models import explanations, graph, keras_file, pixel_check
from unfreeze.models.backbone import Backbone, build
from unfreeze.models.engine import Engine
from unfreeze.models.table import Row, check_size, find_row
from unfreeze.planning import networks
from unfreeze.settings.backbones import Transformer
from unfreeze.training.convolutions import replace_convolutions
from unfreeze.training.heads import build_head
from unfreeze.training.transfer import FineTuned

SMALL = {"patch": 8, "width": 16, "depth": 2, "heads": 2, "mlp": 24}
FAMILIES: dict[str, dict[str, object]] = {
    "vit": {"family": "vit"},
    "dinov2": {"family": "dinov2", "registers": 2, "layer_scale": True, "activation": "swiglu"},
    "siglip": {"family": "siglip", "class_token": False, "activation": "gelu_approximate"},
}
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3)).astype("uint8")


def describe_family(folder: Path, family: str, **settings: object) -> Row:
    """Write conf/backbones/FAMILY.yaml, and return its row."""
    transformer = {**SMALL, **FAMILIES[family]}
    describe(folder, family, builder=f"hub:{family}", smallest_size=8, transformer=transformer, **settings)
    return find_row(family)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_cut_trained_saved_and_loaded_by_plain_keras(folder: Path, family: str) -> None:
    row = describe_family(folder, family)
    keras.utils.set_random_seed(0)
    network = Backbone(row, 48)
    extra = {"vit": 1, "dinov2": 3, "siglip": 0}[family]
    assert network.feature_shape == (36 + extra, 16)
    assert [network.base.layers[start].name for start in network.find_block_starts()] == [
        "patches",
        "block1_norm1",
        "block2_norm1",
    ]
    assert pixel_check.explain(network).endswith("which is right")
    cut = network.find_cut("auto")
    assert network.base.operations[cut].name == "block1_add2"

    before, after = network.build_part(0, cut), network.build_part(cut, network.end)
    engine = Engine(before, kind="openvino", batch_size=4)
    (activations,) = engine.run([PIXELS])
    np.testing.assert_allclose(activations, before(PIXELS), atol=1e-5)
    np.testing.assert_array_equal(next(engine.run([PIXELS])), activations, err_msg="the same bits in each run")
    alone = next(engine.run([PIXELS[2:3]]))
    np.testing.assert_array_equal(alone[0], activations[2], err_msg="whatever the other images of a batch")

    head = build_head(row.head, features=network.feature_shape, classes=2, output="softmax")
    graph.freeze_below(network.base, network.find_first_trainable("auto"))
    frozen, trained = ([layer for layer in network.base.layers if layer.trainable == is_on and layer.weights]
                       for is_on in (False, True))  # fmt: skip
    kept = [weight for layer in frozen for weight in layer.get_weights()]
    whole = network.build_classifier(head)
    first = np.asarray(whole(PIXELS))
    model = FineTuned(replace_convolutions(after), head)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(activations, np.array([0, 1, 0, 1]), verbose=0)
    np.testing.assert_equal([weight for layer in frozen for weight in layer.get_weights()], kept)
    assert trained[0].name == "block2_norm1"
    assert not np.array_equal(first, whole(PIXELS)), "the whole model shares the weights that were trained"
    np.testing.assert_allclose(model(activations), whole(PIXELS), atol=1e-5)

    for name in ("one.keras", "two.keras"):
        keras_file.save(whole, folder / name)
    assert (folder / "one.keras").read_bytes() == (folder / "two.keras").read_bytes()
    np.save("pixels.npy", PIXELS)
    script = (
        "import keras, numpy; model = keras.models.load_model('one.keras', compile=False); "
        "numpy.save('given.npy', model(numpy.load('pixels.npy'))); import sys; assert 'keras_hub' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"PATH": ""})
    np.testing.assert_allclose(np.load("given.npy"), whole(PIXELS), atol=1e-6)
    loaded = keras.models.load_model(folder / "one.keras", compile=False)
    (served,) = Engine(loaded, kind="openvino", batch_size=4).run([PIXELS])
    np.testing.assert_allclose(served, whole(PIXELS), atol=1e-5)
    seen = explanations.explain(loaded, PIXELS, np.zeros(4, int), position=cut)
    assert (seen.heat.min(axis=(1, 2)) < 0.2).all(), "the least patch counts as 0"
    assert (seen.heat.max(axis=(1, 2)) == 1).all()
    np.testing.assert_allclose(seen.activations[:, :-1], _run(network, cut)[:, :-1], atol=1e-5)


def _run(network: Backbone, position: int) -> np.ndarray:
    return np.asarray(network.build_part(0, position)(PIXELS))


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_its_native_side_serve_another_one(folder: Path, family: str) -> None:
    row = describe_family(folder, family)
    keras.utils.set_random_seed(1)
    native = build(row, 32)
    native.save_weights("native.weights.h5")
    same, other = Backbone(row, 32), Backbone(row, 64)
    same.load_weights(folder / "native.weights.h5")
    other.load_weights(folder / "native.weights.h5")
    np.testing.assert_equal(same.base.get_weights(), native.get_weights())
    extra = other.base.output.shape[1] - 64
    learned = native.get_layer("positions").get_weights()[0].reshape(-1, 16)
    resized = other.base.get_layer("positions").get_weights()[0].reshape(-1, 16)
    np.testing.assert_array_equal(resized[:extra], learned[:extra])
    # Between four patches of the larger grid there is the middle of one of the smaller.
    of_four = resized[extra:].reshape(4, 2, 4, 2, 16).mean(axis=(1, 3)).reshape(16, 16)
    assert np.corrcoef(of_four.ravel(), learned[extra:].ravel())[0, 1] > 0.9
    np.testing.assert_array_equal(other.base.get_layer("norm").gamma, native.get_layer("norm").gamma)


def test_a_side_that_patches_do_not_cover_is_refused_with_those_that_they_do(folder: Path) -> None:
    row = describe_family(folder, "vit", native_size=64)
    for size in (8, 32, 72):
        check_size(row, size)
    with pytest.raises(UnfreezeError, match=r"image_size 36 is no multiple of 8, the side of vit's patches: set "
                       r"preprocess.image_size=32 or 40 \(it was trained on 64\)"):  # fmt: skip
        Backbone(row, 36)


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        ({"heads": 3}, "transformer: heads 3 do not divide width 16"),
        ({"patch": 7}, "native_size 32 is no multiple of the patch, 7"),
        ({"hedas": 2}, r"hedas: unknown parameter, did you mean 'heads'\?"),
    ],
)
def test_wrong_settings_are_told(folder: Path, transformer: dict[str, object], message: str) -> None:
    given = {**SMALL, "family": "vit", **transformer}
    describe(folder, "wrong", builder="hub:vit", smallest_size=8, transformer=given)
    with pytest.raises(UnfreezeError, match=message):
        find_row("wrong")


def test_a_preset_in_the_study_needs_settings_first(folder: Path) -> None:
    with pytest.raises(UnfreezeError, match=r"backbones --add hub:hf://some/vit-x` writes conf/backbones/vit_x.yaml"):
        find_row("hub:hf://some/vit-x")


def test_the_plan_counts_its_arithmetic(folder: Path) -> None:
    row = describe_family(folder, "vit")
    found = networks.describe(networks.Wish(backbone=row.name, size=32, point="auto", candidates=("auto",)))
    names = [cut.name for cut in found.cuts]
    assert names[-3:] == ["block2_add1", "block2_add2", "norm"]
    patches, tokens, width, mlp = 16, 17, 16, 24
    of_blocks = 2 * tokens * (4 * width**2 + 2 * width * mlp)
    embedding = patches * 3 * 8 * 8 * width + tokens * width
    assert found.cuts[-1].macs == pytest.approx(of_blocks + embedding, rel=0.05)


@pytest.mark.parametrize("class_token", [True, False])
def test_heat_is_where_attention_goes(class_token: bool) -> None:
    spec = Transformer(family="vit", patch=8, width=16, depth=1, heads=1, mlp=4, class_token=class_token)
    base = build(Row("attentive", "hub:none", "unit", 8, 32, transformer=spec), 32)
    for layer in base.layers:
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    # The first channel is the patch's brightness, the second is constant.
    kernel, bias = base.get_layer("patches").get_weights()
    kernel[..., 0], bias[1] = 10 / 192, 1
    base.get_layer("patches").set_weights([kernel, bias])
    for layer in base.layers:
        if isinstance(layer, keras.layers.LayerNormalization):
            layer.gamma.assign(np.ones(16))
    # Every token asks for the first channel.
    attention = base.get_layer("block1_attention")
    key = np.zeros((16, 1, 16), "float32")
    key[0] = 1
    attention.set_weights([
        np.zeros((16, 1, 16)), np.full((1, 16), 1), key, np.zeros((1, 16)), *attention.get_weights()[4:]
    ])  # fmt: skip
    head = build_head(
        ["class_token" if class_token else "global_average_pooling"], features=base.output.shape[1:], classes=2,
        output="softmax",
    )  # fmt: skip
    pixels = keras.Input((32, 32, 3), dtype="uint8")
    model = keras.Model(pixels, head(base(keras.layers.Rescaling(1 / 255)(pixels), training=False)))
    pictures = np.zeros((2, 32, 32, 3), "uint8")
    pictures[0, 8:16, 16:24] = 255
    pictures[1, 24:32, 0:8] = 255
    heat = explanations.explain(model, pictures, np.array([0, 1])).heat
    assert heat[0, 12, 20] == 1
    assert heat[1, 28, 3] == 1
    assert heat[0, 28, 3] < 0.1


def test_class_token_is_for_tokens() -> None:
    with pytest.raises(UnfreezeError, match=r"class_token of features of shape \(2, 2, 8\), which are no tokens"):
        build_head(["class_token"], features=(2, 2, 8), classes=2, output="softmax")
    mean = build_head(["global_average_pooling"], features=(3, 8), classes=2, output="softmax")
    np.testing.assert_allclose(keras.Model(mean.input, mean.layers[1].output)(np.eye(3, 8)[None])[0, :3], 1 / 3)


def test_a_builder_of_ones_own_may_give_tokens(folder: Path) -> None:
    code = """
import keras
from keras import layers

def build(size):
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(8, 8, strides=8, name="patches")(inputs)
    x = layers.Reshape((-1, 8), name="tokens")(x)
    x = layers.Add(name="added")([x, layers.MultiHeadAttention(2, 4, name="attention")(x, x)])
    return keras.Model(inputs, layers.LayerNormalization(name="norm")(x))
"""
    write_builder(folder, "tokens", code)
    describe(folder, "mine", builder="plugins.backbones.tokens:build", patch=8, blocks=["patches", "attention"])
    row = find_row("mine")
    network = Backbone(row, 48)
    assert network.feature_shape == (36, 8)
    with pytest.raises(UnfreezeError, match="image_size 50 is no multiple of 8"):
        Backbone(row, 50)
    head = build_head(row.head, features=network.feature_shape, classes=2, output="softmax")
    keras_file.save(network.build_classifier(head), folder / "x.keras")
    loaded = keras.models.load_model(folder / "x.keras", compile=False)
    heat = explanations.explain(loaded, PIXELS, np.zeros(4, int)).heat
    assert (heat.max(axis=(1, 2)) == 1).all()
