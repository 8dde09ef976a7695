from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

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


def test_computed_rows_are_what_stored_ones_would_be(tmp_path: Path, make_images: Callable[..., Path]) -> None:
    root = make_images(tmp_path / "images", images=6)
    ids = [f"red/{number:03}.png" for number in range(6)]
    store.write(tmp_path / "images.h5", root, ids, ["red"] * 6, size=32, max_pixels=10**6, manifest_sha256="")
    network = Backbone(find_row("mobilenetv2"), 32)
    part = network.build_part(0, network.find_cut("block_16_expand"))
    labels = np.array([0, 1, 0, 1, 0])
    views = Views(tmp_path / "images.h5", np.array([0, 1, 2, 3, 5]), None, 0)
    source = feed.Computed(views, Engine(part, batch_size=2), labels, np.ones(len(labels)))
    (pixels,) = views.iterate_batches(8)
    expected = part.predict_on_batch(pixels)

    (rows, found, weights), *rest = feed.read_in_order(source, 5, CLASS_WEIGHTS).as_numpy_iterator()
    assert not rest
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    assert found.argmax(axis=1).tolist() == labels.tolist()
    assert weights.tolist() == [1, 3, 1, 3, 1]

    shuffled = feed.read_shuffled(source, 3, CLASS_WEIGHTS, 0)
    assert len(shuffled) == 2
    epochs = [list(shuffled.as_numpy_iterator()) for _ in range(2)]
    orders = []
    for epoch in epochs:
        assert [len(rows) for rows, _, _ in epoch] == [3, 2]
        rows, found = (np.concatenate([batch[part] for batch in epoch]) for part in (0, 1))
        order = [int(np.abs(expected - row).sum(axis=(1, 2, 3)).argmin()) for row in rows]
        assert found.argmax(axis=1).tolist() == labels[order].tolist()
        assert sorted(order) == [0, 1, 2, 3, 4]
        orders.append(order)
    assert orders[0] != orders[1]
