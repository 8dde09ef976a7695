"""Rows as input of training: read from disk without Python in the loop, or computed in every epoch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import count as count_up
from math import ceil, prod

import numpy as np
import tensorflow as tf

from unfreeze.features.cache import Rows, narrow
from unfreeze.features.plan import Dtype
from unfreeze.images.augment import Views
from unfreeze.images.row_files import Piece, RowFiles
from unfreeze.models.engine import Engine

# Size of the shuffle buffer, bytes: sets of a few thousand images are shuffled as a whole. Larger ones take no more
# memory than that, or than one run.
SHUFFLED_BYTES = 128 * 2**20
# Larger sets are read in runs of rows, several at a time, in a new order each epoch.
RUN = 64
RUNS_AT_ONCE = 16


@dataclass(frozen=True)
class Unchanged:
    """Stands in the place of an engine where no layer is frozen: rows are the pixels.

    Args:
        row_shape: Shape of a row.
        batch_size: Rows that are read at once.
    """

    row_shape: tuple[int, ...]
    batch_size: int = 64

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the batches as they are."""
        yield from batches


@dataclass(frozen=True)
class Computed:
    """One fold's rows, computed each time they are read; they have the bits that stored ones would have.

    Args:
        origin: The fold's pixels, or rows of it from further ahead in the network.
        engine: Runs frozen layers over them, if any are.
        labels: Class numbers, integer array of shape (rows,).
        weights: Sample weights in training, float array of shape (rows,).
        dtype: Precision of stored rows, to which these are rounded.
    """

    origin: "Views | Source"
    engine: Engine | Unchanged
    labels: np.ndarray
    weights: np.ndarray
    dtype: Dtype

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of a row."""
        return self.engine.row_shape

    @property
    def row_bytes(self) -> int:
        """Size of a row as it would be stored."""
        return prod(self.row_shape) * np.dtype(self.dtype).itemsize

    def iterate_batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield all rows in their order, at most `size` at a time."""
        return self._compute(self.origin.iterate_batches(min(size, self.engine.batch_size)))

    def iterate_shuffled(self, order: np.ndarray, epoch: int) -> Iterator[np.ndarray]:
        """Yield the rows in an order, as many at a time as the engine takes.

        Args:
            order: Row numbers.
            epoch: Its number, of which views with fresh changes take new ones.
        """
        size = self.engine.batch_size
        match self.origin:
            case Views():
                # But for fresh ones every epoch has the views that would be stored.
                return self._compute(self.origin.iterate_shuffled(size, order, epoch if self.origin.fresh else 0))
            case Rows():
                return self._compute(self.origin.stored.read_batches(order, size))
        return self._compute(self.origin.iterate_shuffled(order, epoch))

    def _compute(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for rows in self.engine.run(batches):
            yield narrow(rows, self.dtype)


Source = Rows | Computed


def take_first_views(source: Source, views: int, *, stored: int) -> Source:
    """Return the rows of the first views of each image.

    Args:
        source: Rows of a training fold, one view after the other.
        views: How many to keep.
        stored: How many there are.
    """
    kept = len(source) // stored * views
    labels, weights = source.labels[:kept], source.weights[:kept]
    if isinstance(source, Computed):
        if isinstance(source.origin, Views):
            origin: Views | Source = source.origin.take_first(views)
        else:
            origin = take_first_views(source.origin, views, stored=stored)
        return replace(source, origin=origin, labels=labels, weights=weights)
    return replace(source, stored=source.stored.take(0, kept), labels=labels, weights=weights)


def read_in_order(source: Source, batch_size: int, class_weights: Sequence[float]) -> tf.data.Dataset:
    """Return batches in the order of the rows.

    Args:
        source: The rows.
        batch_size: Rows a batch.
        class_weights: One weight a class.

    Returns:
        Batches of rows (uint8 pixels or float32, of shape (batch, *row shape)), labels as probabilities (float32, of
        shape (batch, classes)) and sample weights (float32, of shape (batch,)).
    """
    if isinstance(source, Computed):
        return _weight(_read_computed(source, batch_size, tf.data.Dataset.range(len(source))), class_weights)
    whole = _open_runs(source.stored, len(source))(tf.constant(0, tf.int64))
    return _weight(_decode(whole, source, batch_size), class_weights)


def read_shuffled(
    source: Source,
    batch_size: int,
    class_weights: Sequence[float],
    seed: int,
    *,
    label_smoothing: float = 0.0,
    mixup: float = 0.0,
) -> tf.data.Dataset:
    """Return batches as `read_in_order` does, in a new random order each epoch.

    A set that fits into `SHUFFLED_BYTES` is shuffled as a whole. Of a larger one runs of rows are read in random
    order, several at a time, and their rows shuffled within that bound.

    Args:
        source: The rows.
        batch_size: Rows a batch.
        class_weights: One weight a class.
        seed: Seed of all orders and shares.
        label_smoothing: Share of a label that is spread over all classes.
        mixup: Parameter of the shares in which rows of a batch are mixed in pairs; 0 for none.
    """
    if isinstance(source, Computed):
        numbers = _shuffle(lambda run: _number_run(run, RUN, len(source)), len(source), source.row_bytes, seed)
        batches = _weight(_read_computed(source, batch_size, numbers), class_weights, label_smoothing)
        return _mix(batches, mixup, seed)
    records = _shuffle(_open_runs(source.stored, RUN), len(source), source.stored.row_bytes, seed)
    return _mix(_weight(_decode(records, source, batch_size), class_weights, label_smoothing), mixup, seed)


def _shuffle(
    open_run: Callable[[tf.Tensor], tf.data.Dataset], count: int, row_bytes: int, seed: int
) -> tf.data.Dataset:
    """Return rows in a new random order each epoch, which depends on their number and size and on the seed.

    Args:
        open_run: Reads a run of `RUN` rows by its number.
        count: Number of rows.
        row_bytes: Size of a row.
        seed: Seed of all orders.
    """
    runs = ceil(count / RUN)
    waiting = min(count, max(SHUFFLED_BYTES // row_bytes, RUN))
    return (
        tf.data.Dataset.range(runs)
        .shuffle(runs, seed=seed, reshuffle_each_iteration=True)
        .interleave(open_run, cycle_length=RUNS_AT_ONCE)
        .shuffle(waiting, seed=seed + 1, reshuffle_each_iteration=True)
    )


def disable_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return the dataset without autotuning, which costs more than it saves in epochs of a few seconds.

    The tuning thread sleeps for 10, 20, 40 ... ms, and an iterator is not released before it wakes: an epoch of 2.7 s
    took 5.1 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _open_runs(rows: RowFiles, size: int) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Return what reads a run of rows by its number (int64): as bytes, with their numbers.

    Args:
        rows: All rows.
        size: Rows of each run but the last.
    """
    paths = list(dict.fromkeys(piece.path for piece in rows.pieces))
    numbers, file_bytes = {path: number for number, path in enumerate(paths)}, [path.stat().st_size for path in paths]

    def place(piece: Piece) -> tuple[int, int, int]:
        """Return the number of the file, and the bytes before and behind the rows."""
        number = numbers[piece.path]
        return number, piece.offset, file_bytes[number] - piece.offset - piece.rows * rows.row_bytes

    runs = [rows.find(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]
    most = max(map(len, runs))
    # All runs are read from as many pieces as the one that has the most: the others get some without rows.
    filled = [[*run, *[replace(run[-1], rows=0)] * (most - len(run))] for run in runs]
    table = tf.constant([list(map(place, run)) for run in filled], tf.int64)
    names = tf.constant(list(map(str, paths)))

    def read(run: tf.Tensor) -> tf.data.Dataset:
        parts = [
            tf.data.FixedLengthRecordDataset(names[file], rows.row_bytes, before, after)
            for file, before, after in map(tf.unstack, tf.unstack(table[run]))
        ]
        return tf.data.Dataset.zip(reduce(tf.data.Dataset.concatenate, parts), _number_run(run, size, len(rows)))

    return read


def _number_run(run: tf.Tensor, size: int, count: int) -> tf.data.Dataset:
    """Return the numbers (int64) of the rows of a run.

    Args:
        run: Number of the run (int64).
        size: Rows of each run but the last.
        count: Number of all rows.
    """
    return tf.data.Dataset.range(run * size, tf.minimum(run * size + size, count))


def _decode(records: tf.data.Dataset, rows: Rows, batch_size: int) -> tf.data.Dataset:
    """Return batches of rows, labels and weights."""
    stored, labels, weights = rows.stored, tf.constant(rows.labels), tf.constant(rows.weights, tf.float32)

    def decode(content: tf.Tensor, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        values = tf.reshape(tf.io.decode_raw(content, tf.as_dtype(stored.dtype)), (-1, *stored.row_shape))
        return values, tf.gather(labels, number), tf.gather(weights, number)

    batches = records.batch(batch_size).map(decode)
    return batches.apply(tf.data.experimental.assert_cardinality(ceil(len(rows) / batch_size)))


def _read_computed(source: Computed, batch_size: int, numbers: tf.data.Dataset) -> tf.data.Dataset:
    """Return batches of rows, labels and weights, in the order of the row numbers (int64)."""
    epochs = count_up()

    def compute(order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        start = 0
        for rows in source.iterate_shuffled(order, next(epochs)):
            own = order[start : start + len(rows)]
            yield rows, source.labels[own], source.weights[own].astype("float32")
            start += len(rows)

    signature = (
        tf.TensorSpec((None, *source.row_shape), tf.as_dtype(source.dtype)),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((None,), tf.float32),
    )
    batches = (
        numbers.batch(len(source))
        .flat_map(lambda order: tf.data.Dataset.from_generator(compute, args=(order,), output_signature=signature))
        .rebatch(batch_size)
    )
    return batches.apply(tf.data.experimental.assert_cardinality(ceil(len(source) / batch_size)))


def _weight(
    batches: tf.data.Dataset, class_weights: Sequence[float], label_smoothing: float = 0.0
) -> tf.data.Dataset:
    """Turn labels into probabilities, apply class weights, and cast half precision to float32; pixels stay uint8."""
    of_class = tf.constant(class_weights, tf.float32)
    others = label_smoothing / len(class_weights)

    def widen(rows: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        dtype = rows.dtype if rows.dtype == tf.uint8 else tf.float32
        probabilities = tf.one_hot(labels, len(class_weights), 1 - label_smoothing + others, others)
        return tf.cast(rows, dtype), probabilities, weights * tf.gather(of_class, labels)

    return disable_autotune(batches.map(widen).prefetch(2))


def _mix(batches: tf.data.Dataset, mixup: float, seed: int) -> tf.data.Dataset:
    """Mix each row of a batch with the next one, in shares that are drawn anew in each epoch.

    The loss of a mixed row is that of both, each with its own weight, in their shares: Zhang et al. 2018,
    arXiv:1710.09412, equation 1. Rows come in a random order, so the next one is as good as any.
    """
    if not mixup:
        return batches

    def mix(
        batch: tuple[tf.Tensor, tf.Tensor, tf.Tensor], number: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        rows, labels, weights = batch
        # A beta distribution with equal parameters: one of two equal gamma distributions as a share of both.
        drawn = tf.random.stateless_gamma((2, tf.shape(labels)[0]), [seed, number], mixup)
        # Of small parameters both may be 0 in float32: such a row is left as it is.
        share = tf.where(drawn[0] + drawn[1] > 0, tf.math.divide_no_nan(drawn[0], drawn[0] + drawn[1]), 1.0)
        own = weights * share
        other = tf.roll(weights, 1, 0) * (1 - share)
        mixed = (own[:, None] * labels + other[:, None] * tf.roll(labels, 1, 0)) / (own + other)[:, None]
        share = tf.reshape(share, (-1, *[1] * (rows.shape.rank - 1)))
        values = tf.cast(rows, tf.float32)
        values = share * values + (1 - share) * tf.roll(values, 1, 0)
        # Pixels stay whole numbers, as the layers behind expect them.
        return tf.cast(tf.round(values) if rows.dtype == tf.uint8 else values, rows.dtype), mixed, own + other

    numbers = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    return disable_autotune(tf.data.Dataset.zip(batches, numbers).map(mix).prefetch(2))
