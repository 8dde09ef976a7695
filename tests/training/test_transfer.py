import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import psutil
import pytest
import tensorflow as tf

from tests.conftest import SETTINGS
from tests.models.calibrated import calibrate
from unfreeze.errors import UnfreezeError
from unfreeze.features import cache
from unfreeze.features.plan import Fold, Plan
from unfreeze.models import keras_file
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import make_engine, use_precision
from unfreeze.models.table import find_row
from unfreeze.settings.base import ByBackbone
from unfreeze.settings.training import Phase, Train
from unfreeze.training import feed
from unfreeze.training.activations import Activations
from unfreeze.training.heads import build_head
from unfreeze.training.transfer import Transfer, _compute_class_weights, make_deterministic

PHASE = Phase(
    optimizer="adam", learning_rate=1e-3, schedule="constant", epochs=3, batch_size=8, patience=None,
    weight_decay=0, layer_decay=1, label_smoothing=0, dropout=None, views=None,
)  # fmt: skip
# Steps so small that rounding and the order of images leave no trace.
GENTLE = PHASE.model_copy(update={"optimizer": "sgd", "learning_rate": 1e-6, "epochs": 1})
LONGER = PHASE.model_copy(update={"learning_rate": 2e-2, "epochs": 30})


TRAIN = Train(
    class_weights="balanced",
    precision="float32",
    head=ByBackbone[Phase].model_validate({"default": PHASE}),
    finetune=ByBackbone[Phase].model_validate({"default": PHASE}),
)
# The weights with which each test's network begins, and what its layers below a cut make of the images, by cut: both
# are computed once.
STATISTICS: list[np.ndarray] = []
CACHED: dict[int, np.ndarray] = {}
MakeTransfer = Callable[..., Transfer]


@pytest.fixture
def transfer(tmp_path: Path) -> MakeTransfer:
    """Make transfers in folders of their own."""
    numbers = itertools.count()

    def make(position_of: str, **settings: Any) -> Transfer:
        return make_transfer(tmp_path / str(next(numbers)), position_of, **settings)

    return make


def make_transfer(
    folder: Path, position_of: str, *, stored: bool = True, max_gb: float = 1.0, precision: str = "float32"
) -> Transfer:
    """Return red and blue squares, cached at an unfreeze point of a small random MobileNetV2."""
    make_deterministic(0)
    classes = 2
    network = Backbone(find_row("mobilenetv2"), 32)
    labels = np.arange(48) % classes
    pixels = draw_pixels(labels)
    if STATISTICS:
        network.base.set_weights(STATISTICS)
    else:
        calibrate(network.base, pixels)
        STATISTICS[:] = network.base.get_weights()
    folder.mkdir()
    with h5py.File(folder / "images.h5", "w") as images:
        images["images"] = pixels
    cut = network.find_cut(position_of)
    settings = SETTINGS.model_copy(
        update={"extract": SETTINGS.extract.model_copy(update={"max_gb": max_gb, "batch_size": 4})}
    )
    if cut and cut not in CACHED:
        engine = make_engine(network.build_part(0, cut), settings.extract)
        CACHED[cut] = np.concatenate(list(engine.run(np.split(pixels, 12))))
    cached = CACHED[cut] if cut else pixels
    plan = Plan(
        position=cut,
        row_shape=cached.shape[1:],
        dtype="float16" if cut else "uint8",
        train=Fold(np.arange(32), labels[:32], np.ones(32)),
        val=Fold(np.arange(32, 48), labels[32:], np.ones(16)),
        classes=classes,
        determined_by={},
        settings=settings,
        stored=stored,
    )
    with cache.open_writer(folder / "features.h5", plan) as writer:
        if stored:
            writer.append(cached[:32])
            writer.append(cached[32:])
    head = build_head(("global_average_pooling",), features=network.feature_shape, classes=classes, output="softmax")
    return Transfer(
        network,
        head,
        cache.read(folder / "features.h5", {}),
        images=folder / "images.h5",
        folder=folder / "derived",
        train=TRAIN.model_copy(update={"precision": precision}),
        max_gb=max_gb,
        seed=0,
    )


def draw_pixels(labels: np.ndarray) -> np.ndarray:
    """Draw noisy squares, red for label 0 and green for label 1."""
    pixels = np.random.default_rng(0).integers(0, 100, (len(labels), 32, 32, 3)).astype("uint8")
    pixels[np.arange(len(labels)), :, :, labels % 3] += 100
    return pixels


def test_batch_norm_keeps_the_pretrained_statistics(transfer: MakeTransfer) -> None:
    made = transfer("block_16_expand")
    before = [np.array(variable) for layer in made.backbone.base.layers for variable in moving(layer)]
    made.fine_tune("block_16_expand", PHASE)
    after = [np.array(variable) for layer in made.backbone.base.layers for variable in moving(layer)]
    assert before
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))


def moving(layer: keras.layers.Layer) -> list[keras.Variable]:
    return [layer.moving_mean, layer.moving_variance] if isinstance(layer, keras.layers.BatchNormalization) else []


def test_only_layers_from_the_point_on_change(transfer: MakeTransfer) -> None:
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


def test_none_trains_the_head_alone(transfer: MakeTransfer) -> None:
    made = transfer("block_16_expand")
    before = made.backbone.base.get_weights()
    result = made.fine_tune("none", PHASE)
    assert all(np.array_equal(a, b) for a, b in zip(before, made.backbone.base.get_weights(), strict=True))
    assert result.trainable_parameters == made.head.count_params()


def test_training_learns_and_is_the_same_every_time(transfer: MakeTransfer) -> None:
    first, again = (transfer("none").train_head(LONGER) for _ in range(2))
    assert first.history.equals(again.history)
    assert first.history["accuracy"].iloc[-1] > 0.9


def test_a_phase_that_only_harms_is_undone(transfer: MakeTransfer) -> None:
    made = transfer("none")
    head = made.train_head(LONGER)
    assert head.val_loss == head.history["val_loss"].iloc[-1], "without early stopping the last weights stay"
    weights = made.head.get_weights()
    result = made.fine_tune("none", PHASE.model_copy(update={"learning_rate": 100.0, "patience": 3}))
    assert not result.improved
    assert result.val_loss == pytest.approx(head.val_loss, rel=1e-3)
    assert all(np.array_equal(a, b) for a, b in zip(weights, made.head.get_weights(), strict=True))


def rows_of(source: feed.Source) -> np.ndarray:
    return np.concatenate(list(source.iterate_batches(8))).astype("float32")


def test_deeper_activations_are_derived_from_the_stored_ones(transfer: MakeTransfer) -> None:
    made = transfer("block_15_expand")
    direct = transfer("block_16_expand").activations.find_rows(made.backbone.find_cut("block_16_expand"))
    deeper = made.activations.find_rows(direct.position)
    assert (deeper.position, len(deeper.train), len(deeper.val)) == (direct.position, 32, 16)
    np.testing.assert_allclose(rows_of(deeper.train), rows_of(direct.train), atol=1e-2)
    assert made.activations.find_rows(direct.position) is deeper


def test_activations_before_the_stored_ones_are_made_from_pixels(transfer: MakeTransfer) -> None:
    made, direct = transfer("block_16_expand"), transfer("block_12_expand")
    cut = made.backbone.find_cut("block_12_expand")
    rows, expected = (each.activations.find_rows(cut) for each in (made, direct))
    assert rows.position == expected.position < made.activations.cached.position
    for fold, stored in ((rows.train, expected.train), (rows.val, expected.val)):
        one, two = (np.concatenate(list(each.iterate_batches(8))).astype("float32") for each in (fold, stored))
        np.testing.assert_allclose(one, two, atol=2e-2 * np.abs(two).max())
    assert made.fine_tune("all", PHASE.model_copy(update={"epochs": 1})).trainable_parameters > 2_000_000


def test_pixels_change_in_every_epoch_where_that_is_wanted(transfer: MakeTransfer, tmp_path: Path) -> None:
    made = transfer("all")
    plan = made.features.plan
    augment = plan.settings.augment.model_copy(update={"every_epoch": True})
    settings = plan.settings.model_copy(update={"augment": augment})
    features = replace(made.features, plan=replace(plan, settings=settings))
    folder = next(tmp_path.glob("*"))
    fresh = Activations(made.backbone, features, images=folder / "images.h5", folder=folder, max_gb=1).cached
    pixels = draw_pixels(np.arange(48) % 2)
    assert np.array_equal(rows_of(fresh.val), pixels[32:])
    batches = feed.read_shuffled(fresh.train, 8, [1, 1], 0)
    epochs = [np.concatenate([rows for rows, _, _ in batches.as_numpy_iterator()]) for _ in range(2)]
    mirrored = []
    for epoch in epochs:
        kept = {image.tobytes(): number for number, image in enumerate(pixels[:32])}
        turned = {image[:, ::-1].tobytes(): number for number, image in enumerate(pixels[:32])}
        assert sorted(kept.get(row.tobytes(), turned.get(row.tobytes())) for row in epoch) == list(range(32))
        mirrored.append({turned[row.tobytes()] for row in epoch if row.tobytes() in turned})
    assert mirrored[0] != mirrored[1]
    assert all(0 < len(numbers) < 32 for numbers in mirrored)


def test_trials_start_from_the_same_weights_and_activations(transfer: MakeTransfer) -> None:
    made = transfer("block_15_expand")
    made.train_head(PHASE)
    head, pretrained = made.head, made.backbone.base.get_weights()
    first = made.fine_tune("block_15_expand", PHASE).history
    assert not all(np.array_equal(a, b) for a, b in zip(pretrained, made.backbone.base.get_weights(), strict=True))
    made.restore(head)
    assert all(np.array_equal(a, b) for a, b in zip(pretrained, made.backbone.base.get_weights(), strict=True))
    # This trial's activations are derived after another one has trained.
    second = made.fine_tune("block_16_expand", PHASE).history
    made.restore(head)
    assert made.fine_tune("block_15_expand", PHASE).history.equals(first)
    alone = transfer("block_15_expand")
    alone.restore(head)
    assert alone.fine_tune("block_16_expand", PHASE).history.equals(second)


def test_a_tuned_backbone_is_not_tuned_again_unless_it_is_restored(transfer: MakeTransfer) -> None:
    made = transfer("block_16_expand")
    made.fine_tune("block_16_expand", PHASE)
    with pytest.raises(RuntimeError, match="fine-tuned already"):
        made.fine_tune("none", PHASE)


def test_frozen_layers_whose_activations_do_not_pay_run_in_training(transfer: MakeTransfer) -> None:
    low = "block_1_expand"
    through, stored = transfer("all"), transfer(low)
    cut = through.backbone.find_cut(low)
    assert (through.activations.find_rows(cut).position, stored.activations.find_rows(cut).position) == (0, cut)
    # Higher up they pay, and are derived from the pixels.
    deeper = through.backbone.find_cut("block_2_expand")
    assert through.activations.find_rows(deeper).position == deeper
    frozen = through.backbone.base.layers[: through.backbone.find_first_trainable(low)]
    before = [weight.numpy() for layer in frozen for weight in layer.weights]
    one, other = (made.fine_tune(low, GENTLE) for made in (through, stored))
    assert before and all(
        np.array_equal(value, weight)
        for value, weight in zip(before, [weight for layer in frozen for weight in layer.weights], strict=True)
    )
    assert one.trainable_parameters == other.trainable_parameters
    np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=0.02)


@pytest.mark.parametrize("point", ["block_15_expand", "block_16_expand"])
def test_models_do_not_depend_on_what_there_was_room_to_store(
    transfer: MakeTransfer, caplog: pytest.LogCaptureFixture, point: str
) -> None:
    ways = [
        transfer("block_15_expand"),
        transfer("block_15_expand", stored=False),
        transfer("block_15_expand", max_gb=1e-9),
        transfer("block_15_expand", stored=False, max_gb=1e-9),
    ]
    with caplog.at_level("WARNING", "unfreeze"):
        histories = [[made.train_head(PHASE).history, made.fine_tune(point, PHASE).history] for made in ways]
    assert "there is room for 0.0: computed in every epoch" in caplog.text
    weights = [[*made.backbone.base.get_weights(), *made.head.get_weights()] for made in ways]
    for history, of_weights in zip(histories[1:], weights[1:], strict=True):
        assert all(one.equals(other) for one, other in zip(history, histories[0], strict=True))
        assert all(np.array_equal(one, other) for one, other in zip(of_weights, weights[0], strict=True))


def test_bfloat16_trains_nearly_as_float32_and_leaves_a_model_in_float32(
    transfer: MakeTransfer, tmp_path: Path
) -> None:
    exact = transfer("block_16_expand").fine_tune("block_16_expand", GENTLE).history
    trained = transfer("block_16_expand", precision="bfloat16")
    rough = trained.fine_tune("block_16_expand", GENTLE).history
    use_precision("float32")
    np.testing.assert_allclose(rough["loss"], exact["loss"], rtol=0.05)
    assert rough["loss"].iloc[0] != exact["loss"].iloc[0]
    # Nothing that scores or serves the model learns how it was trained.
    keras_file.save(trained.backbone.build_classifier(trained.head), tmp_path / "trained.keras")
    saved = keras.models.load_model(tmp_path / "trained.keras")
    assert {weight.dtype for weight in saved.weights} == {"float32"}
    assert {layer.compute_dtype for layer in saved.layers} == {"float32"}


def test_a_cosine_schedule_ends_at_rest(transfer: MakeTransfer) -> None:
    made = transfer("none")
    made.train_head(PHASE.model_copy(update={"schedule": "cosine", "epochs": 12, "learning_rate": 1e-2}))
    history = made.train_head(PHASE.model_copy(update={"schedule": "cosine", "epochs": 12})).history["val_loss"]
    assert abs(history.iloc[-1] - history.iloc[-2]) < abs(history.iloc[1] - history.iloc[0])


def test_the_average_of_the_weights_is_what_is_validated_and_kept(transfer: MakeTransfer) -> None:
    phase = PHASE.model_copy(update={"average": 0.5})
    averaged, plain = transfer("block_16_expand"), transfer("block_16_expand")
    steps: list[list[np.ndarray]] = []

    def keep(*_: Any, **__: Any) -> None:
        steps.append(read_weights(averaged))

    watch = keras.callbacks.LambdaCallback(on_train_begin=keep, on_train_batch_end=keep)
    result = averaged.fine_tune("block_16_expand", phase, callbacks=[watch])
    plain_result = plain.fine_tune("block_16_expand", PHASE)
    # Training itself goes on from the weights of the last step.
    np.testing.assert_allclose(result.history["loss"], plain_result.history["loss"], rtol=1e-5)
    assert (result.history["val_loss"] != plain_result.history["val_loss"]).all()
    # Four steps an epoch: of an older weight 1/e is left after two.
    expected, left = steps[0], np.exp(-1 / 2)
    for weights in steps[1:]:
        expected = [left * old + (1 - left) * new for old, new in zip(expected, weights, strict=True)]
    for one, other in zip(expected, read_weights(averaged), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert measure_loss(averaged) == pytest.approx(result.val_loss, rel=1e-4)
    again = transfer("block_16_expand")
    assert again.fine_tune("block_16_expand", phase).history.equals(result.history)


def measure_loss(made: Transfer) -> float:
    labels = made.features.plan.val.labels
    return float(-np.log(made.predict_validation()[np.arange(len(labels)), labels]).mean())


def read_weights(made: Transfer) -> list[np.ndarray]:
    layers = [*made.backbone.base.layers, *made.head.layers]
    return [np.array(weight) for layer in layers for weight in layer.trainable_weights]


def test_an_average_goes_on_from_a_state(transfer: MakeTransfer) -> None:
    # Whole batches: their order, which is another one after the state, changes nothing but the last bits.
    phase = PHASE.model_copy(update={"average": 2.0, "batch_size": 32})
    whole, parts = transfer("block_16_expand"), transfer("block_16_expand")
    at_once = whole.fine_tune("block_16_expand", phase)
    head = parts.head
    first = parts.fine_tune("block_16_expand", phase, until=1)
    begun = parts.read_state()
    parts.restore(head)
    rest = parts.fine_tune("block_16_expand", phase, state=begun)
    losses = [*first.history["val_loss"], *rest.history["val_loss"]]
    np.testing.assert_allclose(losses, at_once.history["val_loss"], rtol=1e-3)
    np.testing.assert_allclose(parts.predict_validation(), whole.predict_validation(), atol=1e-3)


@pytest.mark.parametrize("rate", [1e-3, 1e-5])
def test_early_stopping_brings_the_best_average_back(transfer: MakeTransfer, rate: float) -> None:
    made = transfer("none")
    phase = PHASE.model_copy(update={"average": 0.5, "patience": 2, "epochs": 6, "learning_rate": rate})
    result = made.train_head(phase)
    assert measure_loss(made) == pytest.approx(result.val_loss, rel=1e-3)
    assert result.val_loss is not None and result.val_loss <= result.history["val_loss"].min()


def test_an_epoch_gives_back_the_memory_that_its_threads_held(transfer: MakeTransfer) -> None:
    made = transfer("block_16_expand")
    kept: list[bytes] = []
    over = threading.Event()
    before, after = [], []

    def hold(freed: threading.Barrier) -> None:
        kept.append([bytes(8192) for _ in range(8192)].pop())
        freed.wait()
        over.wait()

    def begin(epoch: int, logs: Any) -> None:
        freed = threading.Barrier(5)
        for _ in range(4):
            threading.Thread(target=hold, args=[freed], daemon=True).start()
        freed.wait()
        before.append(resident_mb())

    held = keras.callbacks.LambdaCallback(begin, on_epoch_end=lambda epoch, logs: after.append(resident_mb()))
    made.fine_tune("block_16_expand", PHASE, callbacks=[held])
    over.set()
    # Four times 64 MB are free in each epoch, of which training itself takes some again.
    assert np.subtract(before, after).min() > 128


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def test_a_phase_of_no_epochs_does_nothing(transfer: MakeTransfer) -> None:
    made = transfer("none")
    before = made.head.get_weights()
    result = made.train_head(PHASE.model_copy(update={"epochs": 0}))
    assert not len(result.history)
    assert result.val_loss is None
    assert all(np.array_equal(a, b) for a, b in zip(before, made.head.get_weights(), strict=True))


def test_going_on_from_a_state_ends_where_one_training_would(transfer: MakeTransfer) -> None:
    phase = PHASE.model_copy(update={"schedule": "cosine"})
    whole, parts = transfer("block_16_expand"), transfer("block_16_expand")
    head = whole.head
    parts.restore(head)
    whole.fine_tune("block_16_expand", phase, until=1)
    begun = whole.read_state()
    whole.restore(head)
    result = whole.fine_tune("block_16_expand", phase, state=begun)
    assert result.history["epoch"].tolist() == [1, 2]
    rate = float(whole._fitting.model.optimizer.learning_rate)
    assert rate == pytest.approx(0, abs=1e-9), "the schedule went on where it stopped"
    assert (
        parts.fine_tune("block_16_expand", phase, until=1).history["loss"].iloc[0] != result.history["loss"].iloc[0]
    )


class Hungry(keras.callbacks.Callback):
    """Fails as TensorFlow does where memory does not suffice for a whole batch."""

    def on_train_begin(self, logs: Any = None) -> None:
        if self.model.optimizer.gradient_accumulation_steps is None:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


@pytest.mark.parametrize(
    ("batch_size", "told"),
    [(8, "2 steps of 4 images for each of 8"), (64, "2 steps of 16 images for each of 32")],
    ids=["a batch", "a batch of more images than there are"],
)
def test_out_of_memory_it_goes_on_with_half_the_batch(
    transfer: MakeTransfer, caplog: pytest.LogCaptureFixture, batch_size: int, told: str
) -> None:
    phase = GENTLE.model_copy(update={"batch_size": batch_size})
    whole, halves = transfer("block_16_expand"), transfer("block_16_expand")
    expected = whole.fine_tune("block_16_expand", phase)
    with caplog.at_level("WARNING", "unfreeze"):
        result = halves.fine_tune("block_16_expand", phase, callbacks=[Hungry()])
    assert f"out of memory, on with {told}" in caplog.text
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(result.history[name], expected.history[name], rtol=0.02)


def test_dropout_can_be_changed_where_the_head_has_it(transfer: MakeTransfer) -> None:
    made = transfer("none")
    with pytest.raises(UnfreezeError, match="add {dropout: 0.3} to head.layers"):
        made.train_head(PHASE.model_copy(update={"dropout": 0.3}))


def test_a_budget_counts_the_views_that_are_trained_on(transfer: MakeTransfer) -> None:
    made = transfer("none")
    plan = made.features.plan
    stored = plan.settings.model_copy(update={"augment": plan.settings.augment.model_copy(update={"views": 4})})
    made.features = replace(made.features, plan=replace(plan, settings=stored))
    # Eight images in four views.
    assert made.make_budget(None, PHASE).train == 32
    assert made.make_budget(None, PHASE.model_copy(update={"views": 1})).train == 8


def test_only_stored_views_can_be_trained_on(transfer: MakeTransfer) -> None:
    with pytest.raises(UnfreezeError, match=r"training on 4 views, 1 are stored: set augment\.views=4"):
        transfer("none").fine_tune("none", PHASE.model_copy(update={"views": 4}))


def test_label_smoothing_leaves_the_validation_loss_alone(transfer: MakeTransfer) -> None:
    plain, smooth = (
        transfer("none").fine_tune("none", GENTLE.model_copy(update={"label_smoothing": share}))
        for share in (0.0, 0.4)
    )
    np.testing.assert_allclose(smooth.history["val_loss"], plain.history["val_loss"], rtol=1e-3)
    assert smooth.history["loss"].iloc[0] != pytest.approx(plain.history["loss"].iloc[0], rel=1e-3)


def test_what_a_model_says_of_the_validation_images(transfer: MakeTransfer) -> None:
    made = transfer("none")
    result = made.fine_tune("none", LONGER)
    said = made.predict_validation()
    labels = made.features.plan.val.labels
    assert said.shape == (16, 2)
    assert (said.argmax(axis=1) == labels).mean() == result.history["val_accuracy"].iloc[-1]


@pytest.mark.parametrize(("kind", "expected"), [("balanced", [2 / 3, 2.0]), ("none", [1.0, 1.0])])
def test_balanced_weights_make_classes_count_alike(kind: str, expected: list[float]) -> None:
    fold = Fold(np.arange(4), np.array([0, 0, 0, 1]), np.ones(4))
    assert _compute_class_weights(fold, 2, kind) == pytest.approx(expected)


def test_balanced_weights_go_by_what_images_count() -> None:
    fold = Fold(np.arange(4), np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 3.0]))
    assert _compute_class_weights(fold, 2, "balanced") == [1.0, 1.0]
