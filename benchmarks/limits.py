"""What the machine can do, and how near single steps come to it: one process, alternating repeats, one JSON line.

    python -m benchmarks.limits CLONE BACKBONE UNFREEZE_POINT PRECISION

The clone is one that `benchmarks.pipeline` has run.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from unfreeze.features import cache
from unfreeze.features.plan import Fold, Plan
from unfreeze.images import store
from unfreeze.models import graph
from unfreeze.models.backbone import Backbone
from unfreeze.models.cost import count_multiply_accumulates
from unfreeze.models.engine import Engine, use_precision
from unfreeze.models.table import find_row
from unfreeze.paths import Paths
from unfreeze.settings.base import Precision
from unfreeze.training import convolutions, feed
from unfreeze.training.heads import build_head
from unfreeze.training.optimizers import FusedAdam
from unfreeze.training.transfer import FineTuned

REPEATS = 3
IMAGES = 256
# Large enough for the trainer to be at its best.
TRAINER_BATCH = 128
TRAINER_STEPS = 6
BLOCK = 64
# Keras' own default.
PREDICT_BATCH = 32


def main(folder: str, name: str, point: str, precision: Precision) -> dict[str, Any]:
    """Measure everything for one backbone."""
    paths = Paths(Path(folder))
    images = store.describe(paths.images)
    network = Backbone(find_row(name), images.size)
    network.base.load_weights(paths.weights(name))
    cut = network.find_cut(point)
    prefix, suffix = network.build_part(0, cut), network.build_part(cut, network.end)
    macs = {part: count_multiply_accumulates(model) for part, model in (("prefix", prefix), ("suffix", suffix))}
    rates = _extraction_rates(paths, prefix, precision)
    graph.freeze_below(network.base, network.find_first_trainable(point))
    trainer = _trainer_rate(network, suffix, precision)
    return {
        "macs": macs,
        "images_per_second": rates,
        "trainer_images_per_second": trainer,
        "preprocess_seconds": _preprocess_seconds(paths, images.size),
        "layouts": _layouts(paths.images),
    }


def alternate(ways: dict[str, Callable[[], Any]], units: int) -> dict[str, float]:
    """Run each way in turn, several times, and return the median of units a second."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            rates[name].append(units / (time.perf_counter() - begun))
    return {name: statistics.median(values) for name, values in rates.items()}


def _extraction_rates(paths: Paths, prefix: keras.Model, precision: Precision) -> dict[str, float]:
    """Compare Keras' predict, the engine on batches in memory, and the engine from HDF5 to HDF5."""
    engine = Engine(prefix, precision=precision)
    rows = np.arange(min(IMAGES, len(store.describe(paths.images).ids)))
    pixels = np.concatenate(list(store.read_batches(paths.images, rows, BLOCK)))
    size = engine.batch_size
    batches = [pixels[start : start + size] for start in range(0, len(pixels), size)]
    source = next(path for path in (paths.root / "data/features").glob("*.h5"))
    stored = cache.read(source, {}).plan
    labels = np.zeros(len(rows), np.int64)
    plan = Plan(
        position=stored.position,
        row_shape=tuple(prefix.output.shape[1:]),
        dtype="float16",
        train=Fold(rows, labels, np.ones(len(rows))),
        val=Fold(rows[:0], labels[:0], np.ones(0)),
        classes=stored.classes,
        determined_by={},
        settings=stored.settings,
    )

    def use(outputs: Iterable[np.ndarray]) -> None:
        for _ in outputs:
            pass

    with tempfile.TemporaryDirectory(dir=paths.root) as folder:
        target = Path(folder) / "x.h5"

        def extract() -> None:
            with cache.open_writer(target, plan) as writer:
                for part in engine.run(store.read_batches(paths.images, rows, size)):
                    writer.append(part)
            target.unlink()

        use(engine.run(batches))
        # Tuned, 256 images through Xception took 3.5 s or 5.1 s by luck; without 3.4 to 3.6 s.
        dataset = feed.disable_autotune(tf.data.Dataset.from_tensor_slices(pixels).batch(PREDICT_BATCH))
        prefix.predict(dataset.take(1), verbose=0)
        return alternate(
            {
                "keras predict": lambda: prefix.predict(dataset, verbose=0),
                "engine in memory": lambda: use(engine.run(batches)),
                "extraction": extract,
            },
            len(rows),
        )


def _trainer_rate(network: Backbone, suffix: keras.Model, precision: Precision) -> float:
    """Return the images a second of fine-tuning on one large batch in memory."""
    use_precision(precision)
    head = build_head(network.row.head, features=network.feature_shape, classes=2, output="softmax")
    model = FineTuned(convolutions.replace_convolutions(suffix), head)
    model.compile(FusedAdam(), "sparse_categorical_crossentropy", jit_compile=False)
    generator = np.random.default_rng(0)
    rows = tf.constant(generator.random((TRAINER_BATCH, *suffix.input.shape[1:]), "float32"))
    labels = tf.constant(generator.integers(0, 2, TRAINER_BATCH))

    def train() -> None:
        for _ in range(TRAINER_STEPS):
            model.train_on_batch(rows, labels)

    train()
    return alternate({"train": train}, TRAINER_BATCH * TRAINER_STEPS)["train"]


def _preprocess_seconds(paths: Paths, size: int) -> dict[str, float]:
    """Compare the store with what Keras' own loader gives, written to the same kind of file."""
    ids = store.describe(paths.images).ids
    labels = [name.split("/")[0] for name in ids]
    with tempfile.TemporaryDirectory(dir=paths.root) as folder:
        target = Path(folder) / "images.h5"

        def write_keras(interpolation: str) -> None:
            dataset = keras.utils.image_dataset_from_directory(
                paths.raw,
                image_size=(size, size),
                batch_size=BLOCK,
                shuffle=False,
                interpolation=interpolation,
                verbose=False,
            )
            with h5py.File(target, "w") as file:
                shape = (len(dataset.file_paths), size, size, 3)
                written = file.create_dataset("images", shape, "uint8", chunks=(store.RUN, *shape[1:]))
                start = 0
                for rows, _ in feed.disable_autotune(dataset.prefetch(2)):
                    written[start : start + len(rows)] = np.clip(np.rint(rows.numpy()), 0, 255)
                    start += len(rows)
            target.unlink()

        def write_ours() -> None:
            store.write(target, paths.raw, ids, labels, size=size, max_pixels=10**9, manifest_sha256="")
            target.unlink()

        ways: dict[str, Callable[[], Any]] = {"this pipeline": write_ours}
        for interpolation in ("bicubic", "bilinear"):
            ways[f"Keras, {interpolation}"] = lambda how=interpolation: write_keras(how)
        return {name: 1 / rate for name, rate in alternate(ways, 1).items()}


def _layouts(path: Path) -> list[dict[str, Any]]:
    """Write the images in several layouts; read them in order and shuffled."""
    with h5py.File(path) as file:
        pixels = file["images"][:1024]
    order = np.random.default_rng(0).permutation(len(pixels))
    one = (1, *pixels.shape[1:])
    layouts: dict[str, dict[str, Any]] = {
        "one image a chunk": {"chunks": one},
        f"{store.RUN} images a chunk": {"chunks": (min(store.RUN, len(pixels)), *pixels.shape[1:])},
        "contiguous": {},
        "one image a chunk, lzf": {"chunks": one, "compression": "lzf"},
        "one image a chunk, gzip 1": {"chunks": one, "compression": "gzip", "compression_opts": 1},
    }
    table = []
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        for name, layout in layouts.items():
            target = Path(folder) / "layout.h5"
            with h5py.File(target, "w") as file:
                file.create_dataset("images", data=pixels, **layout)
            with h5py.File(target) as file:
                images = file["images"]
                rates = alternate(
                    {
                        "in_order": lambda images=images: [
                            images[start : start + 8] for start in range(0, len(pixels), 8)
                        ],
                        "shuffled": lambda images=images: [images[row] for row in order],
                    },
                    len(pixels),
                )
            table.append({"layout": name, "mb": target.stat().st_size / 1e6, **rates})
    return table


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")  # type: ignore[arg-type]
