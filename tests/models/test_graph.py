import itertools

import keras
import numpy as np
import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.models import graph
from unfreeze.models.backbone import Backbone, build
from unfreeze.models.table import TABLE, find_row
from unfreeze.settings.training import BlockCount, ParameterShare


def base(name: str, size: int = 160) -> keras.Model:
    return build(find_row(name), size)


@pytest.mark.parametrize(
    ("name", "first", "cut", "shape"),
    [
        ("efficientnetb0", 160, "block5b_add", (10, 10, 112)),
        ("inceptionv3", 248, "mixed7", (8, 8, 768)),
        ("inceptionresnetv2", 630, "mixed_7a", (3, 3, 2080)),
        ("resnet50", 143, "conv4_block6_out", (10, 10, 1024)),
        ("vgg16", 15, "block4_pool", (10, 10, 512)),
        ("xception", 126, "add_11", (5, 5, 1024)),
    ],
)
def test_the_reports_layers_are_cut_at_the_last_shared_tensor(
    name: str, first: int, cut: str, shape: tuple[int, ...]
) -> None:
    keras.backend.clear_session()
    model = base(name)
    operation = model.operations[graph.find_cut(model, first)]
    assert operation.name == cut
    assert tuple(operation.output.shape[1:]) == shape


@pytest.mark.parametrize("name", TABLE)
def test_prefix_then_suffix_is_the_whole_for_every_point(name: str) -> None:
    keras.backend.clear_session()
    row = find_row(name)
    model = build(row, row.smallest_size)
    end = len(model.operations) - 1
    cuts = sorted({graph.find_cut(model, first) for first in range(len(model.layers) + 1)})
    assert cuts[0] == 0, "`all` cuts at the input"
    assert graph.find_cut(model, graph.find_first_trainable(model, "all")) == 0
    assert graph.find_cut(model, graph.find_first_trainable(model, "none")) == end, "`none` cuts after the last layer"
    pixels = np.random.default_rng(0).random((1, row.smallest_size, row.smallest_size, 3), "float32")
    whole = model(pixels, training=False)
    # From cut to cut, each part once: all prefixes and suffixes are made of these.
    activations = pixels
    for start, cut in itertools.pairwise([0, *cuts, end]):
        activations = (
            graph.build_segment(model, start, cut)(activations, training=False) if cut > start else activations
        )
        if cut in (cuts[len(cuts) // 2], cuts[-1]):
            suffix = graph.build_segment(model, cut, end)(activations, training=False)
            np.testing.assert_allclose(suffix, whole, atol=1e-5, rtol=1e-5, err_msg=model.operations[cut].name)
            prefix = graph.build_segment(model, 0, cut)(pixels, training=False)
            np.testing.assert_allclose(prefix, activations, atol=1e-5, rtol=1e-5, err_msg=model.operations[cut].name)
    np.testing.assert_allclose(activations, whole, atol=1e-5, rtol=1e-5)


def test_a_skipped_connection_is_never_cut() -> None:
    inputs = keras.Input((4, 4, 3))
    first = keras.layers.Conv2D(3, 1, name="first")(inputs)
    inside = keras.layers.Conv2D(3, 1, name="inside")(first)
    joined = keras.layers.Add(name="joined")([first, inside])
    last = keras.layers.Conv2D(3, 1, name="last")(joined)
    model = keras.Model(inputs, last)
    names = [model.operations[point].name for point in graph.find_articulation_points(model)]
    assert names == [inputs._keras_history.operation.name, "first", "joined", "last"]
    assert [model.layers[index].name for index in graph.find_block_starts(model)][1:] == ["last"]


def test_every_form_of_unfreeze_point() -> None:
    model = base("vgg16", 32)
    assert graph.find_first_trainable(model, "block5_conv1") == 15
    assert graph.find_first_trainable(model, 15) == 15
    assert graph.find_first_trainable(model, BlockCount(blocks=1)) == 15
    assert graph.find_first_trainable(model, BlockCount(blocks=5)) == 0
    assert graph.find_first_trainable(model, "all") == 0
    assert graph.find_first_trainable(model, "none") == 19
    # block5 holds 7,079,424 of 14,714,688 parameters, 48.1 %.
    assert graph.find_first_trainable(model, ParameterShare(share=0.482)) == 14
    assert graph.find_first_trainable(model, ParameterShare(share=0.48)) == 16
    assert graph.find_first_trainable(model, ParameterShare(share=1.0)) == 0


@pytest.mark.parametrize(
    ("point", "remedy"),
    [("block9_conv1", "lists the names"), (19, "layers 0 to 18"), (BlockCount(blocks=6), "has 5 blocks")],
)
def test_an_unknown_point_is_named(point: object, remedy: str) -> None:
    with pytest.raises(UnfreezeError, match=remedy):
        graph.find_first_trainable(base("vgg16", 32), point)  # type: ignore[arg-type]


def test_prefix_suffix_and_the_saved_model_are_one_set_of_weights() -> None:
    network = Backbone(find_row("mobilenetv2"), 32)
    head = keras.Sequential([keras.Input(network.feature_shape), keras.layers.GlobalAveragePooling2D()])
    cut = network.find_cut("block_16_expand")
    parts = [network.build_part(0, cut), network.build_part(cut, network.end), network.build_classifier(head)]
    held = {id(weight) for part in parts for weight in part.weights}
    assert held == {id(weight) for weight in network.base.weights}


def test_parts_share_their_weights() -> None:
    model = base("vgg16", 32)
    suffix = graph.build_segment(model, 14, 18)
    suffix.set_weights([np.full_like(weight, 0.5) for weight in suffix.get_weights()])
    assert (model.get_layer("block5_conv3").get_weights()[0] == 0.5).all()
