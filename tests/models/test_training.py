import keras
import numpy as np
import pytest

from unfreeze.data.features import Features
from unfreeze.models import backbones, training
from unfreeze.models.heads import build_head
from unfreeze.params import Phase

PHASE = Phase(optimizer="adam", learning_rate=1e-3, schedule="constant", epochs=3, batch_size=8, patience=None)
LONGER = PHASE.model_copy(update={"learning_rate": 2e-2, "epochs": 30})


def transfer(position_of: str, *, classes: int = 2, class_weights: str = "balanced") -> training.Transfer:
    """Return red and blue squares, cached at an unfreeze point of a small random MobileNetV2."""
    training.deterministic(0)
    network = backbones.Backbone(backbones.row_of("mobilenetv2"), 32)
    generator = np.random.default_rng(0)
    labels = np.arange(48) % classes
    pixels = generator.integers(0, 100, (48, 32, 32, 3)).astype("uint8")
    pixels[np.arange(48), :, :, labels % 3] += 100
    calibrate(network.base, pixels)
    cut = network.cut(position_of)
    part = network.part(0, cut)
    cached = part.predict(pixels, verbose=0) if cut else pixels
    head = build_head(("global_average_pooling",), features=network.feature_shape, classes=classes, output="softmax")
    features = Features(cut, cached[:32], labels[:32], cached[32:], labels[32:], classes)
    return training.Transfer(network, head, features, class_weights=class_weights, seed=0)  # type: ignore[arg-type]


def test_batch_norm_keeps_the_pretrained_statistics() -> None:
    made = transfer("block_16_expand")
    before = [np.array(variable) for layer in made.backbone.base.layers for variable in moving(layer)]
    made.fine_tune("block_16_expand", PHASE)
    after = [np.array(variable) for layer in made.backbone.base.layers for variable in moving(layer)]
    assert before
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))


def calibrate(base: keras.Model, pixels: np.ndarray) -> None:
    """Give random layers the statistics of some images; without them activations fade to nothing."""
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    base(pixels / 127.5 - 1, training=True)


def moving(layer: keras.layers.Layer) -> list[keras.Variable]:
    return [layer.moving_mean, layer.moving_variance] if isinstance(layer, keras.layers.BatchNormalization) else []


def test_only_layers_from_the_point_on_change() -> None:
    made = transfer("block_15_expand")
    base = made.backbone.base
    before = {layer.name: layer.get_weights() for layer in base.layers}
    result = made.fine_tune("block_16_expand", PHASE)
    changed = {
        layer.name
        for layer in base.layers
        if any(not np.array_equal(a, b) for a, b in zip(before[layer.name], layer.get_weights(), strict=True))
    }
    first = [layer.name for layer in base.layers].index("block_16_expand")
    above = {layer.name for layer in base.layers[first:] if layer.trainable_weights}
    assert changed == above
    assert result.trainable_parameters == sum(
        int(np.prod(weight.shape)) for layer in base.layers[first:] for weight in layer.trainable_weights
    ) + int(made.head.count_params())


def test_none_trains_the_head_alone() -> None:
    made = transfer("block_16_expand")
    before = made.backbone.base.get_weights()
    result = made.fine_tune("none", PHASE)
    assert all(np.array_equal(a, b) for a, b in zip(before, made.backbone.base.get_weights(), strict=True))
    assert result.trainable_parameters == made.head.count_params()


def test_training_learns_and_is_the_same_every_time() -> None:
    first, again = (transfer("none").train_head(LONGER) for _ in range(2))
    assert first.history.equals(again.history)
    assert first.history["accuracy"].iloc[-1] > 0.9


def test_a_phase_that_only_harms_is_undone() -> None:
    made = transfer("none")
    made.train_head(LONGER)
    weights = made.head.get_weights()
    result = made.fine_tune("none", PHASE.model_copy(update={"learning_rate": 100.0, "patience": 3}))
    assert not result.improved
    assert all(np.array_equal(a, b) for a, b in zip(weights, made.head.get_weights(), strict=True))


def test_deeper_activations_are_derived_from_the_stored_ones() -> None:
    made = transfer("block_15_expand")
    direct = transfer("block_16_expand")
    deeper = made.activations(direct.features.position)
    np.testing.assert_allclose(deeper.train.astype("float32"), direct.features.train, atol=1e-2)


def test_a_cosine_schedule_ends_at_rest() -> None:
    made = transfer("none")
    made.train_head(PHASE.model_copy(update={"schedule": "cosine", "epochs": 12, "learning_rate": 1e-2}))
    history = made.train_head(PHASE.model_copy(update={"schedule": "cosine", "epochs": 12})).history["val_loss"]
    assert abs(history.iloc[-1] - history.iloc[-2]) < abs(history.iloc[1] - history.iloc[0])


def test_a_phase_of_no_epochs_does_nothing() -> None:
    made = transfer("none")
    before = made.head.get_weights()
    assert not len(made.train_head(PHASE.model_copy(update={"epochs": 0})).history)
    assert all(np.array_equal(a, b) for a, b in zip(before, made.head.get_weights(), strict=True))


@pytest.mark.parametrize(("kind", "expected"), [("balanced", [2 / 3, 2.0]), ("none", [1.0, 1.0])])
def test_balanced_weights_make_classes_count_alike(kind: str, expected: list[float]) -> None:
    assert training._class_weights(np.array([0, 0, 0, 1]), 2, kind) == pytest.approx(expected)
