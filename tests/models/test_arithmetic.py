import keras
import pytest
from keras import layers

from tests.models.test_cost import KNOWN, nested
from unfreeze.models.arithmetic import count_macs, count_trained_values, count_values
from unfreeze.models.backbone import Backbone
from unfreeze.models.table import find_row


@pytest.mark.parametrize("name", KNOWN)
def test_multiply_adds_of_a_known_layer(name: str) -> None:
    layer, expected = KNOWN[name]
    inputs = keras.Input((10, 10, 3))
    model = keras.Model(inputs, layers.Activation("relu")(layer(inputs)))
    assert sum(map(count_macs, model.operations)) == expected
    assert sum(map(count_macs, nested(model).operations)) == expected


def test_numbers_that_a_layer_puts_out() -> None:
    inputs = keras.Input((10, 10, 3))
    outputs = layers.Conv2D(8, 3)(inputs)
    assert count_values(keras.Model(inputs, outputs).operations[-1]) == 8 * 8 * 8


def test_layers_that_are_merged_move_no_numbers() -> None:
    inputs = keras.Input((10, 10, 3))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3)(inputs))
    x = layers.Add()([layers.ReLU()(x), layers.Activation("swish")(x)])
    model = keras.Model(inputs, layers.Dropout(0.5)(x))
    assert sum(map(count_trained_values, model.operations)) == 2 * 8 * 8 * 8
    assert sum(map(count_trained_values, nested(model).operations)) == 2 * 8 * 8 * 8


def test_multiply_adds_between_two_positions_of_a_backbone() -> None:
    network = Backbone(find_row("from_scratch"), 32)
    names = [operation.name for operation in network.base.operations]
    first, second = names.index("block1_pool"), names.index("block2_conv")
    of_first, of_second = 16 * 16 * 9 * 3 * 16, 8 * 8 * 9 * 16 * 32
    assert network.count_macs(0, first) == of_first
    assert network.count_macs(first, second) == of_second
    assert network.count_macs(0, second) == of_first + of_second
    assert network.count_macs(second, second) == 0
