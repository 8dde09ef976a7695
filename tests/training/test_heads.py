import numpy as np
import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.evaluation import calibration
from unfreeze.settings.training import DenseSpec, DropoutSpec
from unfreeze.training.heads import apply_temperature, build_head


@pytest.mark.parametrize(("output", "classes", "parameters"), [("softmax", 3, 27), ("sigmoid", 2, 9)])
def test_probabilities_add_up_to_one(output: str, classes: int, parameters: int) -> None:
    head = build_head(("global_average_pooling",), features=(2, 2, 8), classes=classes, output=output)
    probabilities = head.predict_on_batch(np.random.default_rng(0).random((5, 2, 2, 8), "float32"))
    assert probabilities.shape == (5, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert head.count_params() == parameters


def test_layers_stand_in_the_given_order() -> None:
    layers = ("batch_normalization", "flatten", DenseSpec(dense=5), DropoutSpec(dropout=0.5))
    head = build_head(layers, features=(2, 2, 8), classes=2, output="softmax")
    kinds = [type(layer).__name__ for layer in head.layers]
    assert kinds == ["InputLayer", "BatchNormalization", "Flatten", "Dense", "Dropout", "Dense"]


def test_sigmoid_needs_two_classes() -> None:
    with pytest.raises(UnfreezeError, match="the data has 3"):
        build_head(("flatten",), features=(1, 1, 2), classes=3, output="sigmoid")


def test_a_head_must_end_in_a_vector() -> None:
    with pytest.raises(UnfreezeError, match="add global_average_pooling or flatten"):
        build_head((DenseSpec(dense=3),), features=(2, 2, 2), classes=2, output="softmax")


@pytest.mark.parametrize(("output", "classes"), [("softmax", 3), ("sigmoid", 2)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_head_gives_what_its_probabilities_are_at_a_temperature(
    output: str, classes: int, temperature: float
) -> None:
    layers = ("flatten", DenseSpec(dense=5))
    head = build_head(layers, features=(2, 2, 8), classes=classes, output=output)
    features = np.random.default_rng(0).normal(size=(20, 2, 2, 8)).astype("float32")
    expected = calibration.apply_temperature(head.predict_on_batch(features).astype("float64"), temperature)
    apply_temperature(head, temperature)
    np.testing.assert_allclose(head.predict_on_batch(features), expected, atol=1e-6)
