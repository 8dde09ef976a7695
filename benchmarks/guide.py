"""The opponent: transfer learning as the Keras guide teaches it, over ImageNet weights from a file.

Each epoch decodes every image again and runs the whole backbone: first with the head alone in training, then with
the layers from one on. The last line of output is JSON.

Source of the recipe: https://keras.io/guides/transfer_learning/
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pandas as pd
import tensorflow as tf

from unfreeze.models.backbone import build
from unfreeze.models.pixels import scale_pixels
from unfreeze.models.table import TABLE
from unfreeze.settings.images import Split
from unfreeze.stages.split import assign_folds


def main() -> None:
    """Train both phases and score the test fold."""
    options = _options()
    keras.utils.set_random_seed(options.seed)
    rows = pd.DataFrame(
        [
            {"path": str(path), "label": path.parent.name}
            for path in sorted(options.data.glob("*/*"))
            if path.suffix.lower() in (".jpg", ".jpeg", ".png")
        ]
    )
    rows["cluster"] = range(len(rows))
    folds = assign_folds(rows, Split(train=0.6, val=0.2, test=0.2, method="exact", tolerance=0.1), options.seed)
    classes = sorted(rows["label"].unique())
    datasets = {
        name: _dataset(folds.loc[folds["fold"] == name, "id"], classes, options, shuffled=name == "train")
        for name in ("train", "val", "test")
    }
    row = next(row for row in TABLE.values() if row.builder == options.backbone)
    base = build(row, options.size)
    if options.weights != "none":
        base.load_weights(options.weights)
    base.trainable = False
    inputs = keras.Input((options.size, options.size, 3))
    features = base(scale_pixels(row.pixels, inputs), training=False)
    pooled = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(inputs, keras.layers.Dense(len(classes), activation="softmax")(pooled))

    def fit(rate: float, epochs: int) -> float:
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        begun = time.perf_counter()
        model.fit(datasets["train"], validation_data=datasets["val"], epochs=epochs, verbose=2)
        return time.perf_counter() - begun

    head_seconds = fit(1e-3, options.head_epochs)
    base.trainable = True
    names = [layer.name for layer in base.layers]
    for layer in base.layers[: names.index(options.unfreeze_from)]:
        layer.trainable = False
    tune_seconds = fit(1e-5, options.epochs)
    _, accuracy = model.evaluate(datasets["test"], verbose=0)
    sys.stdout.write(
        json.dumps(
            {
                "images": len(rows),
                "test_images": int((folds["fold"] == "test").sum()),
                "test_accuracy": float(accuracy),
                "head_s": head_seconds,
                "fine_tune_s": tune_seconds,
            }
        )
        + "\n"
    )


def _dataset(files: pd.Series, classes: list[str], options: argparse.Namespace, *, shuffled: bool) -> tf.data.Dataset:
    labels = [classes.index(Path(name).parent.name) for name in files]

    def decode(name: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_image(tf.io.read_file(name), channels=3, expand_animations=False)
        return tf.image.resize(image, (options.size, options.size)), label

    dataset = tf.data.Dataset.from_tensor_slices((list(files), labels))
    if shuffled:
        dataset = dataset.shuffle(len(labels), seed=options.seed)
    return dataset.map(decode, tf.data.AUTOTUNE).batch(options.batch_size).prefetch(tf.data.AUTOTUNE)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path, help="one folder a class")
    parser.add_argument("--backbone", default="Xception", help="a name in keras.applications")
    parser.add_argument("--weights", required=True, help="weights file of the backbone without its top, or none")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--unfreeze-from", required=True, help="first layer that phase 2 trains")
    parser.add_argument("--head-epochs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
