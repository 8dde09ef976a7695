from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import SETTINGS
from unfreeze.features.cache import Rows
from unfreeze.images import store
from unfreeze.images.augment import Views
from unfreeze.images.row_files import Piece, RowFiles
from unfreeze.models.backbone import Backbone
from unfreeze.models.engine import Engine
from unfreeze.models.table import find_row
from unfreeze.training import feed

CLASS_WEIGHTS = [1.0, 3.0]


def stored(folder: Path, count: int) -> Rows:
    """Write rows that hold their own number, behind some other bytes."""
    values = np.arange(count, dtype="float16").repeat(4).reshape(count, 2, 2)
    path = folder / "rows"
    path.write_bytes(b"header!" + values.tobytes() + b"and more")
    lying = RowFiles((Piece(path, 7, count),), (2, 2), values.dtype)
    return Rows(lying, np.arange(count) % 2, 1.0 + np.arange(count) % 3)


def numbers(dataset: tf.data.Dataset) -> list[int]:
    """Return the numbers of all rows as they come, after a look at what comes with them."""
    seen = []
    for rows, labels, weights in dataset.as_numpy_iterator():
        assert rows.dtype == np.float32
        assert (rows == rows[:, :1, :1]).all()
        own = rows[:, 0, 0].astype(int)
        assert np.array_equal(labels, np.eye(2)[own % 2])
        assert np.array_equal(weights, np.where(own % 2, 3.0, 1.0) * (1 + own % 3)), "a row's own times its class's"
        seen += own.tolist()
    return seen


def test_rows_in_order(tmp_path: Path) -> None:
    dataset = feed.read_in_order(stored(tmp_path, 11), 4, CLASS_WEIGHTS)
    assert len(dataset) == 3
    assert numbers(dataset) == list(range(11))


@pytest.mark.parametrize("shuffled_bytes", [feed.SHUFFLED_BYTES, 0], ids=["as a whole", "in runs"])
def test_rows_in_several_files_come_in_the_order_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffled_bytes: int
) -> None:
    monkeypatch.setattr(feed, "SHUFFLED_BYTES", shuffled_bytes)
    one = stored(tmp_path, 300)
    pieces = []
    # Runs of 64 rows touch one file, two and four.
    for number, (start, stop) in enumerate([(0, 70), (70, 75), (75, 80), (80, 300)]):
        (piece,) = one.stored.find(start, stop)
        path = tmp_path / f"{number}"
        path.write_bytes(one.stored.pieces[0].path.read_bytes()[piece.offset :][: piece.rows * 8])
        pieces.append(Piece(path, 0, piece.rows))
    many = replace(one, stored=replace(one.stored, pieces=tuple(pieces)))
    assert numbers(feed.read_in_order(many, 7, CLASS_WEIGHTS)) == list(range(300))
    shuffled = [numbers(feed.read_shuffled(rows, 32, CLASS_WEIGHTS, 5)) for rows in (one, many)]
    assert shuffled[0] == shuffled[1]
    first = feed.take_first_views(many, 1, stored=4)
    assert numbers(feed.read_in_order(first, 32, CLASS_WEIGHTS)) == list(range(75))


def test_no_epoch_waits_for_a_tuner_of_the_feed(tmp_path: Path) -> None:
    # The wait itself comes and goes; with the tuner on, half of the epochs took twice their time.
    rows = stored(tmp_path, 11)
    for dataset in (feed.read_in_order(rows, 4, CLASS_WEIGHTS), feed.read_shuffled(rows, 4, CLASS_WEIGHTS, 0)):
        assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize("shuffled_bytes", [feed.SHUFFLED_BYTES, 0], ids=["as a whole", "in runs"])
def test_each_epoch_has_every_row_in_an_order_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffled_bytes: int
) -> None:
    monkeypatch.setattr(feed, "SHUFFLED_BYTES", shuffled_bytes)
    rows = stored(tmp_path, 1000)
    dataset = feed.read_shuffled(rows, 32, CLASS_WEIGHTS, 0)
    assert len(dataset) == 32
    first, second = numbers(dataset), numbers(dataset)
    assert sorted(first) == sorted(second) == list(range(1000))
    assert first != second
    assert numbers(feed.read_shuffled(rows, 32, CLASS_WEIGHTS, 0)) == first
    assert numbers(feed.read_shuffled(rows, 32, CLASS_WEIGHTS, 1)) != first
    # Neighbours in the file are no neighbours in the order.
    assert np.mean(np.abs(np.diff(first)) < 5) < 0.1


@pytest.mark.parametrize("shuffled_bytes", [feed.SHUFFLED_BYTES, 0], ids=["as a whole", "in runs"])
def test_mixed_rows_have_labels_and_weights_in_the_same_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffled_bytes: int
) -> None:
    monkeypatch.setattr(feed, "SHUFFLED_BYTES", shuffled_bytes)
    rows = stored(tmp_path, 200)
    plain = list(feed.read_shuffled(rows, 32, CLASS_WEIGHTS, 5).as_numpy_iterator())
    mixed = feed.read_shuffled(rows, 32, CLASS_WEIGHTS, 5, mixup=0.4)
    epochs = [list(mixed.as_numpy_iterator()) for _ in range(2)]
    assert len(mixed) == len(epochs[0]) == 7
    shares = []
    for (own, labels, weights), (values, some, counts) in zip(plain, epochs[0], strict=True):
        other = np.roll(own, 1, 0)
        part = (values - other)[:, 0, 0] / (own - other)[:, 0, 0]
        np.testing.assert_allclose(counts, part * weights + (1 - part) * np.roll(weights, 1), rtol=1e-3)
        both = (part * weights)[:, None] * labels + ((1 - part) * np.roll(weights, 1))[:, None] * np.roll(
            labels, 1, 0
        )
        np.testing.assert_allclose(some, both / counts[:, None], atol=1e-3)
        shares += part.tolist()
    # A beta distribution with both parameters at 0.4 has a mean of 1/2 and a variance of 1/7.2.
    assert abs(np.mean(shares) - 0.5) < 0.1
    assert abs(np.var(shares) - 1 / 7.2) < 0.03
    again = feed.read_shuffled(rows, 32, CLASS_WEIGHTS, 5, mixup=0.4)
    assert all(np.array_equal(one[0], two[0]) for one, two in zip(epochs[0], again.as_numpy_iterator(), strict=True))
    later = zip(*epochs, strict=True)
    assert not any(np.array_equal(np.sort(one[0], None), np.sort(two[0], None)) for one, two in later)


def test_mixed_pixels_are_whole_numbers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 2, 2)).astype("uint8")
    (tmp_path / "rows").write_bytes(pixels.tobytes())
    rows = Rows(RowFiles((Piece(tmp_path / "rows", 0, 8),), (2, 2), pixels.dtype), np.zeros(8, int), np.ones(8))
    ((own, _, _),) = feed.read_shuffled(rows, 8, [1.0], 0).as_numpy_iterator()
    ((mixed, labels, weights),) = feed.read_shuffled(rows, 8, [1.0], 0, mixup=1.0).as_numpy_iterator()
    assert mixed.dtype == np.uint8
    other = np.roll(own, 1, 0)
    assert (np.minimum(own, other) <= mixed).all()
    assert (mixed <= np.maximum(own, other)).all()
    assert not np.array_equal(own, mixed)
    assert np.array_equal(labels, np.ones((8, 1)))
    assert np.allclose(weights, 1)


@pytest.fixture
def views(tmp_path: Path, make_images: Callable[..., Path]) -> Views:
    """Return two views each of five images, the second turned."""
    root = make_images(tmp_path / "images", images=6)
    ids = [f"red/{number:03}.png" for number in range(6)]
    store.write(tmp_path / "images.h5", root, ids, ["red"] * 6, size=32, max_pixels=10**6, manifest_sha256="")
    augment = SETTINGS.augment.model_copy(update={"views": 2, "rotation": 20})
    return Views(tmp_path / "images.h5", np.array([0, 1, 2, 3, 5]), augment, 0)


@pytest.fixture(scope="module")
def network() -> Backbone:
    """Return a small random network."""
    return Backbone(find_row("mobilenetv2"), 32)


@pytest.fixture
def computed(views: Views, network: Backbone) -> feed.Computed:
    """Return rows in front of the second block, computed from those of the first layers, and these from pixels."""
    early, late = (network.find_cut(name) for name in ("expanded_conv_depthwise", "block_1_expand"))
    labels, weights = np.tile([0, 1, 0, 1, 0], 2), np.tile([1.0, 2.0, 1.0, 3.0, 1.0], 2)
    rows: Views | feed.Computed = views
    for start, stop in ((0, early), (early, late)):
        engine = Engine(network.build_part(start, stop), batch_size=2)
        rows = feed.Computed(rows, engine, labels, weights, "float16")
    assert isinstance(rows, feed.Computed)
    return rows


def store_computed(path: Path, rows: feed.Computed) -> Rows:
    """Write rows to a file."""
    values = np.concatenate(list(rows.iterate_batches(8)))
    path.write_bytes(values.tobytes())
    return Rows(RowFiles((Piece(path, 0, len(rows)),), rows.row_shape, values.dtype), rows.labels, rows.weights)


def test_where_no_layer_is_frozen_rows_are_the_pixels(views: Views) -> None:
    pixels = np.concatenate(list(views.iterate_batches(8)))
    none = feed.Unchanged(pixels.shape[1:], batch_size=3)
    rows = feed.Computed(views, none, np.tile([0, 1, 0, 1, 0], 2), np.ones(10), "uint8")
    batches = list(feed.read_in_order(rows, 4, CLASS_WEIGHTS).as_numpy_iterator())
    assert [len(read) for read, _, _ in batches] == [4, 4, 2]
    assert np.array_equal(np.concatenate([read for read, _, _ in batches]), pixels)
    assert batches[0][0].dtype == np.uint8


def test_computed_rows_are_those_of_the_network(computed: feed.Computed, views: Views, network: Backbone) -> None:
    part = network.build_part(0, network.find_cut("block_1_expand"))
    expected = part.predict(np.concatenate(list(views.iterate_batches(8))), verbose=0)
    batches = list(feed.read_in_order(computed, 4, CLASS_WEIGHTS).as_numpy_iterator())
    assert [len(rows) for rows, _, _ in batches] == [4, 4, 2]
    allowed = 1e-3 * np.abs(expected).max()
    np.testing.assert_allclose(np.concatenate([rows for rows, _, _ in batches]), expected, atol=allowed)
    assert np.concatenate([labels.argmax(axis=1) for _, labels, _ in batches]).tolist() == [0, 1, 0, 1, 0] * 2


@pytest.mark.parametrize("shuffled_bytes", [feed.SHUFFLED_BYTES, 0], ids=["as a whole", "in runs"])
@pytest.mark.parametrize("run", [feed.RUN, 3])
def test_computed_rows_have_the_bits_and_the_orders_of_stored_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: feed.Computed, shuffled_bytes: int, run: int
) -> None:
    monkeypatch.setattr(feed, "SHUFFLED_BYTES", shuffled_bytes)
    monkeypatch.setattr(feed, "RUN", run)
    monkeypatch.setattr(feed, "RUNS_AT_ONCE", 2)
    kept = store_computed(tmp_path / "rows", computed)
    partly = store_computed(tmp_path / "early", computed.origin)
    for ways in (
        [kept, computed, replace(computed, origin=partly)],
        [feed.take_first_views(rows, 1, stored=2) for rows in (kept, computed, replace(computed, origin=partly))],
    ):
        epochs = [
            [
                tuple(part.tobytes() for part in batch)
                for dataset in (feed.read_in_order(rows, 4, CLASS_WEIGHTS), shuffled, shuffled)
                for batch in dataset.as_numpy_iterator()
            ]
            for rows in ways
            for shuffled in [feed.read_shuffled(rows, 3, CLASS_WEIGHTS, 7, label_smoothing=0.1)]
        ]
        assert epochs[0] == epochs[1] == epochs[2]
        assert len(set(epochs[0])) == len(epochs[0])
