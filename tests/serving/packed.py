"""Small packed models for tests: a network with random weights, and images that tests make themselves."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from unfreeze.images import store
from unfreeze.settings.params import load
from unfreeze.settings.study import Serve
from unfreeze.settings.training import Extract

PROJECT = Path(__file__).parents[2]
# EVERY_BACKBONE=1 tries the whole table and all formats of exports, which takes minutes.
EVERY_BACKBONE = bool(os.environ.get("EVERY_BACKBONE"))
CLASSES = ("blue", "green", "red")
MAX_PIXELS = 1_000_000
EXTRACT: Extract = load(PROJECT / "params.yaml").extract
SERVE = Serve(error_rate=0.05, false_alarms=0.01, reference_images=100)


def draw_image(name: str, number: int, *, size: tuple[int, int] = (48, 40)) -> Image.Image:
    """Return an image in which a class's colour prevails; the same for the same number."""
    random = np.random.default_rng([CLASSES.index(name), number])
    pixels = random.integers(0, 90, (size[1], size[0], 3))
    pixels[..., 2 - CLASSES.index(name)] += 160
    return Image.fromarray(pixels.astype(np.uint8))


def write_images(folder: Path, count: int) -> list[str]:
    """Write so many images a class as `CLASS/NUMBER.png`, and return their paths below the folder."""
    names = []
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            draw_image(name, number).save(folder / name / f"{number}.png")
            names.append(f"{name}/{number}.png")
    return names


def build_model(backbone: str = "from_scratch", *, size: int = 32, seed: int = 0, classes: int = 3) -> Any:
    """Return a whole network from pixels to probabilities with random weights."""
    import keras

    from unfreeze.models.backbone import build
    from unfreeze.models.pixels import scale_pixels
    from unfreeze.models.table import find_row
    from unfreeze.training.heads import build_head

    # Keras numbers unnamed layers from the beginning of the process on.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    row = find_row(backbone)
    base = build(row, size)
    head = build_head(("global_average_pooling",), features=base.output_shape[1:], classes=classes, output="softmax")
    inputs = keras.Input((size, size, 3), dtype="uint8", name="pixels")
    return keras.Model(inputs, head(base(scale_pixels(row.pixels, inputs), training=False)), name=backbone)


def pack_small(
    folder: Path,
    *,
    backbone: str = "from_scratch",
    size: int = 32,
    seed: int = 0,
    calibration: bool = False,
    extract: Extract = EXTRACT,
    change: Callable[[Any], object] = lambda model: None,
) -> Path:
    """Pack a network with random weights in a folder, with images, store and `.keras` file beside it.

    Args:
        folder: Where to.
        backbone: Name of the backbone.
        size: Side of the square that the network takes, pixels.
        seed: Of the weights.
        calibration: Whether some images are set aside for conformal sets.
        extract: Precision and batch size.
        change: Changes the network before it is saved.

    Returns:
        The package, `folder/packed/BACKBONE`; the images are in `folder/raw`, their store is `folder/images.h5`, the
        network `folder/BACKBONE.keras`, the split `folder/split.csv`.
    """
    from unfreeze.models import keras_file
    from unfreeze.serving import package

    names = write_images(folder / "raw", 12)
    labels = [name.partition("/")[0] for name in names]
    store.write(
        folder / "images.h5",
        folder / "raw",
        names,
        labels,
        size=size,
        max_pixels=MAX_PIXELS,
        manifest_sha256="0" * 64,
    )
    order = ["train"] * 6 + ["val"] * 3 + (["calibration"] * 2 if calibration else ["val"] * 2) + ["test"]
    folds = pd.DataFrame({"id": names, "fold": order * len(CLASSES)})
    folds.to_csv(folder / "split.csv", index=False)
    model = build_model(backbone, size=size, seed=seed)
    change(model)
    keras_file.save(model, folder / f"{backbone}.keras")
    source = package.Source(
        model=folder / f"{backbone}.keras",
        images=folder / "images.h5",
        folds=folds,
        backbone=backbone,
        temperature=1.0,
        max_pixels=MAX_PIXELS,
        seed=0,
    )
    package.pack(source, folder / "packed" / backbone, SERVE, extract)
    return folder / "packed" / backbone
